#include "mia/models/model_list.hpp"

#include <iostream>

#include "support/golden.hpp"

namespace mia {
namespace {

TEST(Summary, CountsWhatTheSpecificationSays) {
    const Summary tiny = summary<MiaVsrTiny<>>(64, 64);
    std::cout << tiny.text();
    ASSERT_FALSE(tiny.rows.empty());
    EXPECT_EQ(tiny.rows[0].parameters, 4'392'631);
    const Summary base = summary<MiaVsrBase<>>(180, 320);
    std::cout << base.text();
    EXPECT_EQ(base.rows[0].parameters, 16'029'583);
    EXPECT_NEAR(double(base.rows[0].macs), 1.49e12, 0.03e12);  // windows padded from 180 to 184 rows included
}

// Not shipped_models: the programs compile those, and their own checks open them.
constexpr std::tuple models{NamedModel<MiaVsrTiny<>>{"tiny"}, NamedModel<MiaVsrLite<>>{"lite"}};

TEST(OpenModel, KnowsTheSmallModelByItsFile) {
    const auto file = read_safetensors(MIA_MODELS "/mia_lite.safetensors");
    const auto model = open_model(file, {.threads = 2}, models);
    EXPECT_EQ(model->name(), "lite");
    EXPECT_NE(model->summary(8, 8).find("158912"), std::string::npos);
    Tensor<float, 4> clip(1, 5, 3, 3), out(1, 20, 12, 3);
    std::fill(clip.data(), clip.data() + clip.size(), 0.5f);
    model->forward(clip, out);
    for (std::ptrdiff_t i = 0; i < out.size(); ++i) EXPECT_NEAR(out.data()[i], 0.5f, 0.2f);
}

TEST(OpenModel, RefusesAnUnknownOneAndSaysWhatItLooksLike) {
    const auto file = test::Golden("e2e_weights").file();
    try {
        (void)open_model(file, {}, models);
        FAIL() << "a model of width 24 is none of the list";
    } catch (const Error& e) {
        EXPECT_NE(std::string(e.what()).find("embed_dim 24, 2 heads, 4 branches"), std::string::npos) << e.what();
    }
}

}  // namespace
}  // namespace mia
