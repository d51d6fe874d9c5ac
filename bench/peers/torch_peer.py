#!/usr/bin/python3
"""The same computations in straightforward PyTorch, to compare mia_bench's figures with.

    apt install python3-torch python3-numpy libopenblas0-pthread
    /usr/bin/python3 bench/peers/torch_peer.py [--threads N] [--peak GFLOPS] [--only NAME]

First the modules are checked against the goldens of the official model, then timed: the median of a few calls after one
to warm up. --peak is mia_bench's peak of the machine for as many threads; with it, shares of the peak are printed.

Two traps of the environment make PyTorch slower than it is, and are refused or removed here:
- Debian's package links whatever BLAS the system has, and without libopenblas that is the reference one, many times
  slower. The program looks which one is loaded.
- Without flushed denormals the softmax of windows with masked keys (-100) runs at a fraction of its speed.
"""
import argparse
import json
import pathlib
import statistics
import time

import numpy
import torch
import torch.nn.functional as F

ROOT = pathlib.Path(__file__).resolve().parents[2]
PATCH = 8


def read_safetensors(path):
    data = pathlib.Path(path).read_bytes()
    length = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    tensors = {}
    for name, entry in header.items():
        begin, end = (8 + length + offset for offset in entry["data_offsets"])
        array = numpy.frombuffer(data[begin:end], dtype=numpy.float32).reshape(entry["shape"])
        tensors[name] = torch.from_numpy(array.copy())
    return tensors


def parameters_under(tensors, prefix):
    return {name[len(prefix) :]: value for name, value in tensors.items() if name.startswith(prefix)}


def bias_index(window):
    """(window^2, 3 window^2): the table's row for each query of the current frame and key of the three frames."""
    y, x = (a.flatten() for a in torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij"))
    side = 2 * window - 1
    within = (y[:, None] - y[None] + window - 1) * side + x[:, None] - x[None] + window - 1
    return torch.cat([(2 - frame) * side * side + within for frame in range(3)], 1)


def windows(tokens, window):
    """(F, Hp, Wp, C) -> (windows, F * window^2, C)."""
    f, h, w, c = tokens.shape
    tokens = tokens.view(f, h // window, window, w // window, window, c)
    return tokens.permute(1, 3, 0, 2, 4, 5).reshape(-1, f * window * window, c)


def unwindow(tokens, window, h, w):
    tokens = tokens.view(h // window, w // window, window, window, -1)
    return tokens.permute(0, 2, 1, 3, 4).reshape(h, w, -1)


def region_mask(window, h, w, shift):
    """(windows, window^2, 3 window^2): 0 where query and key are of one region of the rolled image, else -100."""

    def regions(size):
        at = torch.arange(size)
        return (at >= size - window).int() + (at >= size - shift).int()

    ids = windows((3 * regions(h)[:, None] + regions(w)[None])[None, :, :, None].float(), window)[:, :, 0]
    return torch.where(ids[:, :, None] == ids[:, None], 0.0, -100.0).repeat(1, 1, 3)


class Block(torch.nn.Module):
    """The inter- and intra-frame attention block, every token computed. Tokens (H, W, C), earlier frames (2, H, W, C)."""

    def __init__(self, channels, heads, window, shift):
        super().__init__()
        self.heads, self.window, self.shift, self.masks = heads, window, shift, {}
        self.norm1, self.norm2 = torch.nn.LayerNorm(channels), torch.nn.LayerNorm(channels)
        self.attn = torch.nn.Module()
        self.attn.relative_position_bias_table = torch.nn.Parameter(torch.randn(3 * (2 * window - 1) ** 2, heads) * 0.02)
        self.attn.qkv = torch.nn.Linear(channels, 3 * channels)
        self.attn.proj = torch.nn.Linear(channels, channels)
        self.mlp = torch.nn.Module()
        self.mlp.fc1, self.mlp.fc2 = torch.nn.Linear(channels, 2 * channels), torch.nn.Linear(2 * channels, channels)
        self.index = bias_index(window)

    def attention(self, x, mask):
        n, keys, c = x.shape
        queries = self.window**2
        d = c // self.heads
        w, b = self.attn.qkv.weight, self.attn.qkv.bias
        q = F.linear(x[:, -queries:], w[:c], b[:c]) * d**-0.5
        kv = F.linear(x, w[c:], b[c:])
        q = q.view(n, queries, self.heads, d).transpose(1, 2)
        k, v = kv.view(n, keys, 2, self.heads, d).permute(2, 0, 3, 1, 4)
        bias = self.attn.relative_position_bias_table[self.index].permute(2, 0, 1)
        scores = q @ k.transpose(-1, -2) + bias
        if mask is not None:
            scores = scores + mask[:, None]
        out = torch.softmax(scores, -1) @ v
        return self.attn.proj(out.transpose(1, 2).reshape(n, queries, c))

    def forward(self, x, earlier):
        h, w, _ = x.shape
        window = self.window
        hp, wp = -(-h // window) * window, -(-w // window) * window
        tokens = F.pad(self.norm1(torch.cat([earlier, x[None]])), (0, 0, 0, wp - w, 0, hp - h))
        mask = None
        if self.shift:
            tokens = torch.roll(tokens, (-self.shift, -self.shift), (1, 2))
            if (hp, wp) not in self.masks:
                self.masks[hp, wp] = region_mask(window, hp, wp, self.shift)
            mask = self.masks[hp, wp]
        a = unwindow(self.attention(windows(tokens, window), mask), window, hp, wp)
        if self.shift:
            a = torch.roll(a, (self.shift, self.shift), (0, 1))
        x = x + a[:h, :w]
        return x + self.mlp.fc2(F.gelu(self.mlp.fc1(self.norm2(x))))


def conv(inputs, outputs):
    return torch.nn.Conv2d(inputs, outputs, 3, padding=1)


def convolved(layer, tokens):
    """A convolution of channels-last tokens (H, W, C)."""
    return layer(tokens.permute(2, 0, 1)[None])[0].permute(1, 2, 0)


class Group(torch.nn.Module):
    def __init__(self, channels, heads, window, depth):
        super().__init__()
        self.residual_group = torch.nn.Module()
        self.residual_group.blocks = torch.nn.ModuleList(
            Block(channels, heads, window, window // 2 * (i % 2)) for i in range(depth)
        )
        self.conv = conv(channels, channels)

    def forward(self, x, earlier):
        y = x
        for block in self.residual_group.blocks:
            y = block(y, earlier)
        return x + convolved(self.conv, y)


class Branch(torch.nn.Module):
    def __init__(self, channels, heads, window, depths):
        super().__init__()
        self.patch_embed = torch.nn.Module()
        self.patch_embed.norm, self.norm = torch.nn.LayerNorm(channels), torch.nn.LayerNorm(channels)
        self.layers = torch.nn.ModuleList(Group(channels, heads, window, depth) for depth in depths)
        self.conv_after_body = conv(channels, channels)

    def forward(self, earlier2, earlier1, current):
        normed = self.patch_embed.norm(torch.stack([earlier2, earlier1, current]))
        earlier, x = normed[:2], normed[2]
        for layer in self.layers:
            x = layer(x, earlier)
        return convolved(self.conv_after_body, self.norm(x)) + current


def sample(image, flow, mode):
    """image (H, W, C) at each pixel plus flow (H, W, 2), zeros outside."""
    h, w, _ = flow.shape
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    grid = torch.stack([2 * (x + flow[..., 0]) / (w - 1) - 1, 2 * (y + flow[..., 1]) / (h - 1) - 1], -1)
    sampled = F.grid_sample(image.permute(2, 0, 1)[None], grid[None], mode, "zeros", align_corners=True)
    return sampled[0].permute(1, 2, 0)


def aligned(features, flow):
    """Whole patches moved by their mean flow; the flow is continued by reflection where a patch leaves the image."""
    h, w, _ = flow.shape
    padded = F.pad(flow.permute(2, 0, 1)[None], (0, -w % PATCH, 0, -h % PATCH), "reflect")
    mean = F.avg_pool2d(padded, PATCH).repeat_interleave(PATCH, 2).repeat_interleave(PATCH, 3)
    return sample(features, mean[0, :, :h, :w].permute(1, 2, 0), "nearest")


class FirstSmall(torch.nn.Module):
    """The first small model, flows given: frames (T, H, W, 3), flows (T - 1, H, W, 2) -> (T, 4 H, 4 W, 3)."""

    def __init__(self, channels=32, heads=2, window=8, depths=(2, 2)):
        super().__init__()
        self.conv_first = conv(3, channels)
        self.patch_align = torch.nn.ModuleDict(
            {name: Branch(channels, heads, window, depths) for name in ("backward_1", "forward_1")}
        )
        self.conv_before_upsample, self.upconv1 = conv(channels, channels), conv(channels, 48)

    def propagate(self, branch, features, flows, order):
        out, before = {}, []
        for j, t in enumerate(order):
            current = features[t]
            n1 = n2 = current
            if j > 0:
                flow = flows(t)
                n1 = n2 = aligned(out[before[-1]], flow)
                if j > 1:
                    second = flow + sample(flows(before[-1]), flow, "bilinear")
                    n2 = aligned(out[before[-2]], second)
            out[t] = branch(n2, n1, current)
            before.append(t)
        return [out[t] for t in range(len(features))]

    def forward(self, frames, backward, forward):
        count = len(frames)
        images = frames.permute(0, 3, 1, 2)
        features = list(self.conv_first(images).permute(0, 2, 3, 1))
        features = self.propagate(
            self.patch_align["backward_1"], features, lambda t: backward[t], list(reversed(range(count)))
        )
        features = self.propagate(
            self.patch_align["forward_1"], features, lambda t: forward[t - 1], list(range(count))
        )
        x = F.leaky_relu(self.conv_before_upsample(torch.stack(features).permute(0, 3, 1, 2)), 0.1)
        x = F.pixel_shuffle(self.upconv1(x), 4)
        base = F.interpolate(images, scale_factor=4, mode="bilinear", align_corners=False)
        return (x + base).permute(0, 2, 3, 1)


def charbonnier(x, y):
    return torch.sqrt((x - y) ** 2 + 1e-12).mean()


# --- correctness -------------------------------------------------------------------------------------------------------


def relative_error(got, expected):
    return float((got - expected).abs().max() / expected.abs().max())


def check_block():
    golden = read_safetensors(ROOT / "tests/goldens/block_nomask.safetensors")
    block = Block(24, 2, 8, 4)
    weights = parameters_under(golden, "param.")
    block.load_state_dict({name: value for name, value in weights.items() if "predmask" not in name})
    return max(
        relative_error(block(golden[f"{t}.x"][0], golden[f"{t}.cond"][0]), golden[f"{t}.out"][0]) for t in ("t0", "t1")
    )


def check_first_small():
    golden = read_safetensors(ROOT / "tests/goldens/lite.safetensors")
    model = FirstSmall()
    model.load_state_dict(read_safetensors(ROOT / "tests/goldens/lite_weights.safetensors"))
    flows = (golden[f"flows_{name}"][0].permute(0, 2, 3, 1) for name in ("backward", "forward"))
    out = model(golden["lqs"][0].permute(0, 2, 3, 1), *flows)
    return relative_error(out, golden["out"][0].permute(0, 2, 3, 1))


def check():
    for name, error in (("block", check_block()), ("first small model", check_first_small())):
        print(f"{name}: largest error {error:.1e} of the golden's largest magnitude")
        if not error < 1e-5:
            raise SystemExit(f"{name}: not the official model's numbers; timing it would say nothing.")


# --- timing ------------------------------------------------------------------------------------------------------------


def loaded_blas():
    maps = pathlib.Path("/proc/self/maps").read_text()
    for name in ("mkl_rt", "libmkl", "openblas", "blis"):
        if name in maps:
            return name
    raise SystemExit("PyTorch uses the reference BLAS. Install an optimised one: apt install libopenblas0-pthread")


def median_seconds(call, calls):
    call()
    times = []
    for _ in range(calls):
        begin = time.perf_counter()
        call()
        times.append(time.perf_counter() - begin)
    return statistics.median(times)


def block_macs(channels, window, pixels):
    return (12 * channels**2 + 6 * window**2 * channels) * pixels


def first_small_macs(pixels):
    """Of a frame, the flow left out."""
    channels = 32
    convolutions = 9 * (3 * channels + 2 * 3 * channels**2 + channels**2 + channels * 48)
    return 2 * 4 * block_macs(channels, 8, pixels) + convolutions * pixels


def time_block(channels, heads, window, height=180, width=320):
    block = Block(channels, heads, window, 0)
    x, earlier = torch.randn(height, width, channels), torch.randn(2, height, width, channels)
    with torch.no_grad():
        return median_seconds(lambda: block(x, earlier), 5), block_macs(channels, window, height * width)


def time_first_small(frames=3, height=180, width=320):
    model = FirstSmall()
    clip, flows = torch.rand(frames, height, width, 3), torch.zeros(frames - 1, height, width, 2)
    with torch.no_grad():
        return median_seconds(lambda: model(clip, flows, flows), 3) / frames, first_small_macs(height * width)


def time_training(frames=5, size=40):
    model = FirstSmall()
    adam = torch.optim.Adam(model.parameters())
    clip, truth = torch.rand(frames, size, size, 3), torch.rand(frames, 4 * size, 4 * size, 3)
    flows = torch.zeros(frames - 1, size, size, 2)

    def step():
        adam.zero_grad()
        charbonnier(model(clip, flows, flows), truth).backward()
        adam.step()

    return median_seconds(step, 7), 3 * frames * first_small_macs(size * size)


CASES = {
    "iia_block/base": lambda: time_block(120, 6, 8),
    "iia_block/lite": lambda: time_block(48, 3, 4),
    "mia_vsr/first_small, a frame of three, flows given": time_first_small,
    "training step of first_small, 5 frames of 40 x 40": time_training,
}


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--threads", type=int, default=1)
    options.add_argument("--peak", type=float, help="GFLOP/s of the machine with as many threads, by mia_bench")
    options.add_argument("--only", default="", help="part of the name of the cases to time")
    options = options.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_flush_denormal(True)
    print(f"PyTorch {torch.__version__}, BLAS {loaded_blas()}, {options.threads} threads, denormals flushed")
    with torch.no_grad():
        check()
    for name, run in CASES.items():
        if options.only in name:
            seconds, macs = run()
            rate = 2 * macs / seconds / 1e9
            share = f", {rate / options.peak:.2f} of the peak" if options.peak else ""
            print(f"{name}: {1e3 * seconds:.1f} ms, {rate:.0f} GFLOP/s{share}")


if __name__ == "__main__":
    main()
