// expect: each_member may list parameters, modules, and std::array or std::tuple of them
#include "mia/mia.hpp"
struct Net {
    int number = 0;
    template <class Self, class Visit>
    static constexpr void each_member(Self& self, Visit&& visit) {
        visit("number", self.number);
    }
};
int main() {
    Net net;
    mia::for_each_parameter(net, [](const std::string&, const auto&) {});
}
