#pragma once
#include <map>
#include <string>

#include "reference/activation.hpp"
#include "reference/layer_norm.hpp"
#include "reference/linear.hpp"
#include "reference/window_attention.hpp"

namespace mia::reference {

/// One masked block as the official code computes it: dense, then blended by the mask. Parameters by official name.
struct MaskedBlock {
    Windows windows;
    int frames, C, heads, mlp_ratio;
    std::map<std::string, Numbers> parameter;
    Numbers pred_q, x_pred, hidden;                ///< state: windows (all positions), windows, image
    void (*crossing)(Numbers&) = [](Numbers&) {};  ///< what becomes of each tensor that one op hands to the next

    /// x: (H, W, C), cond: (frames - 1, H, W, C) -> y; keep: (H, W), the mask that was used.
    Numbers forward(const Numbers& x, const Numbers& cond, bool recurrent, Numbers& keep) {
        const int P = windows.H * windows.W, R = windows.count() * windows.tokens();
        Numbers stack = cond;
        stack.insert(stack.end(), x.begin(), x.end());
        const auto all = windows.partition(norm("norm1", stack), frames, C);
        const auto z = windows.partition(norm("norm1", x), 1, C);
        Numbers kept(std::size_t(R), 1.0);
        for (int r = 0; r < R && recurrent; ++r) {
            double logit = parameter.at("attn.predmask.rnn.bias")[0];
            for (int c = 0; c < C; ++c)
                logit += parameter.at("attn.predmask.rnn.weight")[c] * std::abs(z[r * C + c] - pred_q[r * C + c]);
            kept[r] = 1 / (1 + std::exp(-logit * 1.5)) >= 0.5;
        }
        const auto attended = attention(z, all, R);
        if (!recurrent) x_pred.assign(attended.size(), 0), hidden.assign(x.size(), 0);
        for (int i = 0; i < R * C; ++i) x_pred[i] = kept[i / C] * attended[i] + (1 - kept[i / C]) * x_pred[i];
        pred_q = z;
        keep = windows.reverse(kept, 1);
        Numbers x1 = windows.reverse(x_pred, C);
        for (std::size_t i = 0; i < x.size(); ++i) x1[i] += x[i];
        crossing(x1);
        Numbers mlp = map("mlp.fc1", norm("norm2", x1), P, C, C * mlp_ratio), y = x1;
        for (double& v : mlp) v = gelu(v);
        crossing(mlp);
        mlp = map("mlp.fc2", mlp, P, C * mlp_ratio, C);
        for (int i = 0; i < P * C; ++i) {
            hidden[i] = keep[i / C] * mlp[i] + (1 - keep[i / C]) * hidden[i];
            y[i] += hidden[i];
        }
        crossing(y);
        return y;
    }

private:
    Numbers handed_on(Numbers x) const {
        crossing(x);
        return x;
    }
    Numbers norm(const std::string& name, const Numbers& x) const {
        return handed_on(
            layer_norm(x, parameter.at(name + ".weight"), parameter.at(name + ".bias"), int(x.size()) / C, C));
    }
    Numbers map(const std::string& name, const Numbers& x, int R, int I, int O) const {
        return handed_on(linear(x, parameter.at(name + ".weight"), parameter.at(name + ".bias"), R, I, O));
    }
    Numbers attention(const Numbers& z, const Numbers& all, int R) const {
        const Numbers &w = parameter.at("attn.qkv.weight"), &b = parameter.at("attn.qkv.bias");
        const auto rows = [](const Numbers& m, int first, int last) {
            return Numbers(m.begin() + first, m.begin() + last);
        };
        const auto q = handed_on(linear(z, rows(w, 0, C * C), rows(b, 0, C), R, C, C));
        const auto kv = handed_on(linear(all, rows(w, C * C, 3 * C * C), rows(b, C, 3 * C), R * frames, C, 2 * C));
        const auto& table = parameter.at("attn.relative_position_bias_table");
        const auto attended = handed_on(window_attention(windows, q, kv, table, frames, C, heads));
        return map("attn.proj", attended, R, C, C);
    }
};

}  // namespace mia::reference
