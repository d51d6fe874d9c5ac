#pragma once
#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "mia/core/parameter.hpp"
#include "mia/core/transfer.hpp"

namespace mia {

namespace detail {
struct IgnoreMember {
    template <class Name, class Member>
    constexpr void operator()(const Name&, Member&) const {}
};
template <class>
inline constexpr bool is_array = false;
template <class T, std::size_t N>
inline constexpr bool is_array<std::array<T, N>> = true;
template <class>
inline constexpr bool is_tuple = false;
template <class... T>
inline constexpr bool is_tuple<std::tuple<T...>> = true;
}  // namespace detail

/// A module lists its members, parameters and modules, in `each_member(self, visit)`, each under the name that the
/// official checkpoint gives it: `visit("qkv", self.qkv_)`. There is no other list, no base class, no registration.
template <class M>
concept Module = requires(M& module, detail::IgnoreMember visit) {
    M::each_member(module, visit);
};

namespace detail {
inline std::string join(const std::string& prefix, const std::string& name) {
    if (prefix.empty() || name.empty()) return prefix + name;
    return prefix + "." + name;
}

/// enter(path, module) for each module, outer ones first; leaf(path, parameter); leave(path, module), inner ones first.
template <class Member, class Enter, class Leaf, class Leave>
[[gnu::cold]] void walk(const std::string& path, Member& member, Enter& enter, Leaf& leaf, Leave& leave) {
    using Plain = std::remove_const_t<Member>;
    if constexpr (AnyParameter<Plain>) {
        leaf(path, member);
    } else if constexpr (is_array<Plain>) {  // numbered as PyTorch's ModuleList does
        for (std::size_t i = 0; i < member.size(); ++i)
            walk(join(path, std::to_string(i)), member[i], enter, leaf, leave);
    } else if constexpr (is_tuple<Plain>) {
        std::apply(
            [&](auto&... entries) {
                int i = 0;
                (walk(join(path, std::to_string(i++)), entries, enter, leaf, leave), ...);
            },
            member);
    } else {
        static_assert(Module<Plain>, "each_member may list parameters, modules, and std::array or std::tuple of them");
        enter(path, member);
        Plain::each_member(member,
                           [&](const auto& name, auto& inner) { walk(join(path, name), inner, enter, leaf, leave); });
        leave(path, member);
    }
}
struct Ignore {
    template <class Member>
    void operator()(const std::string&, Member&) const {}
};
/// What else happens on a walk over parameters.
struct WalkOptions {
    bool drop_packing;   ///< on the way into a module: forget the packed copies of its parameters
    bool reset_buffers;  ///< on the way out: give buffers their default values
};
struct OnEnter {
    WalkOptions options;
    template <class M>
    void operator()(const std::string&, M& module) const {
        if constexpr (requires { module.drop_packing(); })
            if (options.drop_packing) module.drop_packing();
    }
};
struct OnLeave {
    WalkOptions options;
    template <class M>
    void operator()(const std::string&, M& module) const {
        if constexpr (requires { module.reset_buffers(); })
            if (options.reset_buffers) module.reset_buffers();
    }
};
/// f(name, ParameterRef) at a parameter; it may return the parameter's new place in memory, else null.
template <class F>
struct Leaf {
    F& f;
    template <class P>
    void operator()(const std::string& name, P& p) const {
        using T = typename P::Scalar;
        if (T* place = f(name, ParameterRef<T>{p.view().data, P::shape, P::size, P::is_trained})) p.bind(place);
    }
};
/// A reference to any such f.
template <class T>
class AnyVisit {
public:
    template <class F>
    explicit AnyVisit(F& f)
        : f_(&f),
          call_([](void* to, const std::string& name, ParameterRef<T> p) { return (*static_cast<F*>(to))(name, p); }) {}
    T* operator()(const std::string& name, ParameterRef<T> p) const { return call_(f_, name, p); }

private:
    void* f_;
    T* (*call_)(void*, const std::string&, ParameterRef<T>);
};

/// The walk is a function for each type of module, hundreds in a large model. So that they are compiled once and not
/// again for each f, its type is erased where the elements' type is known beforehand.
template <class M, class F>
void walk_parameters(M& module, F& f, WalkOptions options) {
    OnEnter enter{options};
    OnLeave leave{options};
    if constexpr (requires { typename M::Scalar; }) {
        AnyVisit<typename M::Scalar> any(f);
        Leaf<AnyVisit<typename M::Scalar>> leaf{any};
        walk("", module, enter, leaf, leave);
    } else {
        Leaf<F> leaf{f};
        walk("", module, enter, leaf, leave);
    }
}
}  // namespace detail

/// Calls f(name, ParameterRef) for each parameter with the official checkpoint's full name. A walk over a module that
/// is not const hands out writable parameters, so it drops what was packed from them: prepare() again before running.
template <class M, class F>
void for_each_parameter(M& module, F&& f) {
    constexpr bool reads = std::is_const_v<M>;
    auto visit = [&]<class T>(const std::string& name, ParameterRef<T> p) -> T* {
        f(name, ParameterRef<std::conditional_t<reads, const T, T>>{p.data, p.shape, p.size, p.is_trained});
        return nullptr;
    };
    // One walk serves modules that are const and others: nothing below writes to a const one.
    detail::walk_parameters(const_cast<std::remove_const_t<M>&>(module), visit,
                            {.drop_packing = !reads, .reset_buffers = false});
}

/// Calls f(path, module) for the module itself (path "") and all modules inside it, outer ones first. A walk over a
/// module that is not const may change it, so it drops what was packed: prepare() again before running.
template <class M, class F>
void for_each_module(M& module, F&& f) {
    detail::Ignore ignore;
    auto enter = [&](const std::string& path, auto& inner) {
        if constexpr (!std::is_const_v<M>) detail::OnEnter{{.drop_packing = true, .reset_buffers = false}}(path, inner);
        f(path, inner);
    };
    detail::walk("", module, enter, ignore, ignore);
}

/// Number of numbers in a module's parameters; buffers (not trained) count only if asked for.
enum class CountBuffers { no, yes };
template <class M>
std::int64_t parameter_count(const M& module, CountBuffers buffers = CountBuffers::no) {
    std::int64_t n = 0;
    for_each_parameter(module, [&](const std::string&, const auto& p) {
        if (p.is_trained || buffers == CountBuffers::yes) n += p.size;
    });
    return n;
}

namespace detail {
template <class B, class Member>
[[gnu::cold]] void prepare_member(B& backend, Member& member) {
    if constexpr (AnyParameter<Member>) {
        return;
    } else if constexpr (is_array<Member>) {
        for (auto& entry : member) prepare_member(backend, entry);
    } else if constexpr (is_tuple<Member>) {
        std::apply([&](auto&... entries) { (prepare_member(backend, entries), ...); }, member);
    } else {
        constexpr bool packs_members = [] {
            if constexpr (requires { Member::packs_members; }) return Member::packs_members;
            return false;
        }();
        if constexpr (!packs_members)
            Member::each_member(member, [&](const auto&, auto& inner) { prepare_member(backend, inner); });
        if constexpr (requires { member.pack(backend); }) member.pack(backend);
    }
}
}  // namespace detail

/// Packs every module's parameters for the backend's kernels: after loading, and after each change of a parameter.
/// Running a module that is not prepared is an Error. A module with `packs_members` packs what is inside it itself.
template <class B, Module M>
void prepare(B& backend, M& module) {
    detail::prepare_member(backend, module);
}

/// A module together with the memory of its parameters, one flat buffer. Movable; the module's address stays.
template <Module M, Backend B = Cpu>
class Network {
public:
    using Scalar = typename B::Scalar;

    /// Allocates the parameters: zero, buffers at their defaults. Load or fill them, then prepare().
    explicit Network(B& backend) : module_(std::make_unique<M>()) {
        const std::int64_t count = parameter_count(*module_, CountBuffers::yes);
        backend.reserve(buffer_, std::size_t(count));
        size_ = count;
        constexpr detail::WalkOptions reset{.drop_packing = false, .reset_buffers = true};
        if constexpr (B::memory_is_host) {
            std::fill(buffer_.data(), buffer_.data() + count, Scalar(0));
            bind(buffer_.data(), reset);
        } else if constexpr (HasMemory<B>) {
            HostImage image(*this);
            bind(image.view.data, reset);
            image.write(backend);
        } else {
            bind(buffer_.data(), {.drop_packing = false, .reset_buffers = false});
        }
    }

    M& operator*() { return *module_; }
    const M& operator*() const { return *module_; }
    M* operator->() { return module_.get(); }
    const M* operator->() const { return module_.get(); }

    /// All parameters and buffers, in the order of the walk. Who writes here calls prepare() afterwards.
    View<Scalar, 1> flat() { return {buffer_.data(), {int(size_)}}; }

    /// f(module), with all parameters where the host can read and write them, whatever the backend: to load, fill or
    /// save them. Waits for the backend. Who writes calls prepare() afterwards.
    template <class F>
    void on_host(B& backend, F&& f) {
        if constexpr (B::memory_is_host) {
            f(*module_);
        } else {
            HostImage image(*this);
            download(backend, flat(), image.view);
            synchronize(backend);
            bind(image.view.data, {.drop_packing = true, .reset_buffers = false});
            f(*module_);
            image.write(backend);
        }
    }

private:
    /// The parameters in host memory, for a while; at its end they are in the backend's again.
    struct HostImage {
        Network& network;
        std::vector<Scalar> memory = std::vector<Scalar>(std::size_t(network.size_));
        View<Scalar, 1> view{memory.data(), {int(network.size_)}};

        explicit HostImage(Network& of) : network(of) {}
        ~HostImage() { network.bind(network.buffer_.data(), {.drop_packing = false, .reset_buffers = false}); }
        HostImage(const HostImage&) = delete;
        HostImage& operator=(const HostImage&) = delete;
        void write(B& backend) {
            upload(backend, view, network.flat());
            synchronize(backend);
        }
    };

    void bind(Scalar* memory, detail::WalkOptions options) {
        auto place = [&](const std::string&, ParameterRef<Scalar> p) { return std::exchange(memory, memory + p.size); };
        detail::walk_parameters(*module_, place, options);
    }

    std::unique_ptr<M> module_;
    typename B::template Buffer<Scalar> buffer_;
    std::int64_t size_ = 0;
};

}  // namespace mia
