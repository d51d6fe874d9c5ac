#pragma once
#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <tuple>
#include <utility>

#include "mia/core/parameter.hpp"

namespace mia {

namespace detail {
struct AnyVisit {
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
concept Module = requires(M& module, detail::AnyVisit visit) {
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
/// Forgets the packed copies of a module's parameters.
struct DropPacking {
    template <class M>
    void operator()(const std::string&, M& module) const {
        if constexpr (requires { module.drop_packing(); }) module.drop_packing();
    }
};
}  // namespace detail

/// Calls f(name, ParameterRef) for each parameter with the official checkpoint's full name. A walk over a module that
/// is not const hands out writable parameters, so it drops what was packed from them: prepare() again before running.
template <class M, class F>
void for_each_parameter(M& module, F&& f) {
    detail::Ignore ignore;
    auto leaf = [&]<class P>(const std::string& name, P& parameter) {
        using T = std::conditional_t<std::is_const_v<P>, const typename P::Scalar, typename P::Scalar>;
        f(name, ParameterRef<T>{parameter.view().data, P::shape, P::size, P::is_trained});
    };
    if constexpr (std::is_const_v<M>) {
        detail::walk("", module, ignore, leaf, ignore);
    } else {
        detail::DropPacking drop;
        detail::walk("", module, drop, leaf, ignore);
    }
}

/// Calls f(path, module) for the module itself (path "") and all modules inside it, outer ones first. A walk over a
/// module that is not const may change it, so it drops what was packed: prepare() again before running.
template <class M, class F>
void for_each_module(M& module, F&& f) {
    detail::Ignore ignore;
    auto enter = [&](const std::string& path, auto& inner) {
        if constexpr (!std::is_const_v<M>) detail::DropPacking{}(path, inner);
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
        std::int64_t count = parameter_count(*module_, CountBuffers::yes);
        backend.reserve(buffer_, std::size_t(count));
        size_ = count;
        if constexpr (B::memory_is_host) std::fill(buffer_.data(), buffer_.data() + count, Scalar(0));
        Scalar* next = buffer_.data();
        detail::Ignore ignore;
        auto bind = [&]<class P>(const std::string&, P& p) {
            p.bind(next);
            next += P::size;
        };
        auto reset = [](const std::string&, auto& inner) {
            if constexpr (B::memory_is_host && requires { inner.reset_buffers(); }) inner.reset_buffers();
        };
        detail::walk("", *module_, ignore, bind, reset);
    }

    M& operator*() { return *module_; }
    const M& operator*() const { return *module_; }
    M* operator->() { return module_.get(); }
    const M* operator->() const { return module_.get(); }

    /// All parameters and buffers, in the order of the walk. Who writes here calls prepare() afterwards.
    View<Scalar, 1> flat() { return {buffer_.data(), {int(size_)}}; }

private:
    std::unique_ptr<M> module_;
    typename B::template Buffer<Scalar> buffer_;
    std::int64_t size_ = 0;
};

}  // namespace mia
