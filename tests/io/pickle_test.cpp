#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <mia/io/pickle.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "check_io.hpp"
#include "pickle_builder.hpp"

namespace mia {
namespace {

using detail::PickleKind;
using detail::PickleMachine;
using detail::PickleValue;
using ::testing::AllOf;
using testing::as_bytes;
using testing::error_of;
using ::testing::HasSubstr;
namespace pickle = testing::pickle;

std::string run_error(std::string_view code) {
    return error_of([&] { PickleMachine(as_bytes(code), "file").run(); });
}
/// With the zero bytes of the literal.
template <std::size_t N>
std::string bytes(const char (&literal)[N]) {
    return std::string(literal, N - 1);
}
PickleValue run(std::string_view code) { return PickleMachine(as_bytes(code), "file").run(); }

TEST(Pickle, reads_plain_values) {
    const struct {
        std::string code;
        PickleKind kind;
        std::int64_t number;
    } cases[] = {{"N.", PickleKind::none, 0},
                 {"\x88.", PickleKind::boolean, 1},
                 {"\x89.", PickleKind::boolean, 0},
                 {"K\xFF.", PickleKind::integer, 255},
                 {"M\xFF\xFF.", PickleKind::integer, 65535},
                 {"J\xFF\xFF\xFF\xFF.", PickleKind::integer, -1},
                 {bytes("\x8a\x00."), PickleKind::integer, 0},
                 {"\x8a\x01\x80.", PickleKind::integer, -128},
                 {bytes("\x8a\x06\x00\x00\x00\x00\x00\x01."), PickleKind::integer, std::int64_t(1) << 40},
                 {pickle::number(INT64_MIN) + ".", PickleKind::integer, INT64_MIN},
                 {pickle::number(INT64_MAX) + ".", PickleKind::integer, INT64_MAX},
                 {bytes("G?\xf0\x00\x00\x00\x00\x00\x00."), PickleKind::real, 0}};
    for (const auto& c : cases) {
        const PickleValue value = run(c.code);
        EXPECT_EQ(value.kind, c.kind) << c.number;
        EXPECT_EQ(value.number, c.number);
    }
}

TEST(Pickle, builds_dictionaries_through_the_memo) {
    // {'a': 1, 'b': 1} with 'a' and 1 from the memo, in all ways to set an item.
    const std::string right = "\x80\x04\x95" + std::string(8, '\0') + "}\x94" + pickle::str("a") + "q\x01K\x01" +
                              bytes("r\x02\x00\x00\x00") + "s(" +
                              "\x8c\x01"
                              "b" +
                              bytes("j\x02\x00\x00\x00") + "u.";
    PickleMachine machine(as_bytes(right), "file");
    const auto& items = machine.dict(machine.run());
    ASSERT_EQ(items.size(), 2u);
    EXPECT_EQ(machine.string(items[0].first), "a");
    EXPECT_EQ(machine.string(items[1].first), "b");
    EXPECT_EQ(items[0].second.number, 1);
    EXPECT_EQ(items[1].second.number, 1);
}

TEST(Pickle, describes_a_tensor) {
    const std::string code =
        pickle::whole(pickle::tensor(pickle::storage("HalfStorage", "7", 100), 3, {2, 5}, {1, 20}));
    PickleMachine machine(as_bytes(code), "file");
    const PickleValue value = machine.run();
    ASSERT_EQ(value.kind, PickleKind::tensor);
    const auto& tensor = machine.tensor(value);
    EXPECT_EQ(tensor.offset, 3);
    EXPECT_EQ(tensor.shape, (std::vector<std::int64_t>{2, 5}));
    EXPECT_EQ(tensor.strides, (std::vector<std::int64_t>{1, 20}));
    EXPECT_EQ(machine.storage(tensor).dtype, DType::float16);
    EXPECT_EQ(machine.storage(tensor).key, "7");
    EXPECT_EQ(machine.storage(tensor).elements, 100);
}

TEST(Pickle, objects_that_contain_themselves_do_no_harm) {
    EXPECT_EQ(run(bytes("}q\x00X\x01\x00\x00\x00"
                        "ah\x00s."))
                  .kind,
              PickleKind::dict);
    EXPECT_EQ(run(bytes("]q\x00h\x00"
                        "a."))
                  .kind,
              PickleKind::list);
    EXPECT_EQ(run(bytes("]q\x00(h\x00h\x00h\x00"
                        "e."))
                  .kind,
              PickleKind::list);
}

TEST(Pickle, refuses_every_global_but_the_known) {
    for (const auto& [module, name] :
         std::vector<std::pair<const char*, const char*>>{{"os", "system"},
                                                          {"builtins", "eval"},
                                                          {"torch", "load"},
                                                          {"torch", "UntypedStorage"},
                                                          {"collections", "OrderedDict.__init__"},
                                                          {"torch._utils", "_rebuild_tensor"},
                                                          {"", ""}}) {
        const std::string full = "'" + std::string(module) + "." + name + "'";
        EXPECT_THAT(run_error(pickle::whole(pickle::call(pickle::global(module, name), {pickle::str("id")}))),
                    AllOf(HasSubstr("at byte 2: the global " + full), HasSubstr("nothing in a file is ever run")));
        EXPECT_THAT(run_error(pickle::str(module) + pickle::str(name) + "\x93."), HasSubstr("the global " + full));
    }
}

TEST(Pickle, refuses_every_other_opcode_by_name) {
    const std::string known(
        "\x80\x95(N\x88\x89JKM\x8aGX\x8c}])\x85\x86\x87tqr\x94hjc\x93"
        "aesuQRb.");
    int named = 0;
    for (int code = 0; code < 256; ++code) {
        if (known.find(char(code)) != std::string::npos) continue;
        const std::string message = run_error(std::string("N") + char(code) + "........");
        ASSERT_NE(message, "") << code;
        const bool is_named = message.find("the opcode ") != std::string::npos;
        named += is_named;
        EXPECT_TRUE(is_named || message.find("is no pickle opcode") != std::string::npos) << message;
    }
    EXPECT_EQ(named, 33);
    EXPECT_THAT(run_error("cos\nsystem\n."), HasSubstr("'os.system'"));
    EXPECT_THAT(run_error("(S'id'\nios\nsystem\n."), HasSubstr("the opcode STRING"));
    EXPECT_THAT(run_error(")\x81."), HasSubstr("the opcode NEWOBJ"));
}

TEST(Pickle, refuses_unknown_protocols) {
    for (char version : {'\0', '\1', '\6', '\xFF'})
        EXPECT_THAT(run_error(std::string("\x80") + version + "N."), HasSubstr("pickle protocol"));
    for (char version : {'\2', '\3', '\4', '\5'}) EXPECT_EQ(run_error(std::string("\x80") + version + "N."), "");
}

TEST(Pickle, refuses_broken_stacks) {
    EXPECT_THAT(run_error("."), HasSubstr("empty stack"));
    EXPECT_THAT(run_error("NN."), HasSubstr("STOP leaves 1 values"));
    EXPECT_THAT(run_error("(N."), HasSubstr("STOP leaves"));
    EXPECT_THAT(run_error("N.N"), HasSubstr("1 bytes follow the STOP"));
    EXPECT_THAT(run_error("t."), HasSubstr("there is none"));
    EXPECT_THAT(run_error("N\x86."), HasSubstr("empty stack"));
    EXPECT_THAT(run_error("N(\x85."), HasSubstr("empty stack"));  // the mark is a floor
    EXPECT_THAT(run_error("}(Nu."), HasSubstr("a key has no value"));
    EXPECT_THAT(run_error("](NNu."), HasSubstr("what items are set in should be a dict and is a list"));
    EXPECT_THAT(run_error("}(Ne."), HasSubstr("should be a list and is a dict"));
    EXPECT_THAT(run_error("NNb."), HasSubstr("attributes (None) for None"));
    EXPECT_THAT(run_error("NNR."), HasSubstr("the arguments of a call should be a tuple and is None"));
    EXPECT_THAT(run_error("N)R."), HasSubstr("what is called should be a class or function"));
    EXPECT_THAT(run_error("NN\x93."), HasSubstr("a global's name should be a string"));
    EXPECT_THAT(run_error("NQ."), HasSubstr("a persistent id should be a tuple"));
}

TEST(Pickle, refuses_every_truncation) {
    const std::string code =
        pickle::whole(pickle::dict({{"w", pickle::tensor(pickle::storage("FloatStorage", "0", 4), 0, {4}, {1})}}));
    EXPECT_EQ(run_error(code), "");
    for (std::size_t size = 0; size < code.size(); ++size) EXPECT_NE(run_error(code.substr(0, size)), "") << size;
}

TEST(Pickle, refuses_abuse_of_the_memo) {
    EXPECT_THAT(run_error(bytes("h\x00.")), HasSubstr("memo slot 0 is empty"));
    EXPECT_THAT(run_error(bytes("Nr\x03\x00\x00\x00h\x01.")), HasSubstr("memo slot 1 is empty"));
    EXPECT_THAT(run_error("Nr\xFF\xFF\xFF\xFF."), HasSubstr("memo slot 4294967295 in a pickle of 7 bytes"));
    EXPECT_THAT(run_error("j\xFF\xFF\xFF\xFF."), HasSubstr("memo slot 4294967295 is empty"));
    EXPECT_THAT(run_error(bytes("q\x00.")), HasSubstr("empty stack"));
}

TEST(Pickle, refuses_abuse_of_stack_and_time) {
    EXPECT_THAT(run_error(std::string(PickleMachine::max_stack + 1, 'N')), HasSubstr("values on the stack"));
    EXPECT_THAT(run_error(std::string(PickleMachine::max_stack + 1, '(')), HasSubstr("marks"));
    std::string long_run;
    while (long_run.size() < PickleMachine::max_opcodes) long_run += "(t(Nt\x86";  // nested tuples, a short stack
    EXPECT_NE(run_error(long_run), "");
    std::string deep("N");
    deep.append(PickleMachine::max_opcodes, '\x85');  // ((((...)))) never recurses
    EXPECT_THAT(run_error(deep), HasSubstr("opcodes"));
    EXPECT_THAT(run_error(std::string(PickleMachine::max_bytes + 1, 'N')), HasSubstr("bytes of pickle"));
}

TEST(Pickle, refuses_strings_and_integers_that_do_not_fit) {
    EXPECT_THAT(run_error("X\xFF\xFF\xFF\xFFzz"), HasSubstr("needs 4294967295 more bytes and the pickle has 2"));
    EXPECT_THAT(run_error("\x8c\x05zz"), HasSubstr("needs 5 more bytes"));
    EXPECT_THAT(run_error("\x8c\x02z\xFF."), HasSubstr("is not UTF-8"));
    EXPECT_THAT(run_error("\x8a\x09"
                          "123456789."),
                HasSubstr("an integer of 9 bytes"));
    EXPECT_THAT(run_error("ctorch"), HasSubstr("a line has no end"));
}

TEST(Pickle, refuses_tensors_that_are_none) {
    const std::string storage = pickle::storage("FloatStorage", "0", 4);
    const std::string rebuild = pickle::global("torch._utils", "_rebuild_tensor_v2");
    const auto error = [](const std::string& code) { return run_error(pickle::whole(code)); };
    EXPECT_THAT(error(pickle::call(rebuild, {})), HasSubstr("should get a storage"));
    EXPECT_THAT(error(pickle::call(rebuild, {"N", "N", "N", "N"})), HasSubstr("should get a storage"));
    EXPECT_THAT(error(pickle::call(rebuild, {storage, "K\x01", ")", "N"})), HasSubstr("should get a storage"));
    EXPECT_THAT(error(pickle::tensor(storage, 0, {2, 2}, {1})), HasSubstr("2 extents and 1 strides"));
    EXPECT_THAT(error(pickle::call(rebuild, {storage, "K\x01", "(Nt", "(K\x01t"})),
                HasSubstr("an extent or stride is None"));
    EXPECT_THAT(error(pickle::tensor(storage, 0, std::vector<std::int64_t>(17, 1), {})), HasSubstr("17 axes"));
    EXPECT_THAT(error(pickle::call(pickle::global("torch._utils", "_rebuild_parameter"), {"N"})),
                HasSubstr("a tensor first"));
    EXPECT_THAT(error(pickle::call(pickle::global("torch", "FloatStorage"), {})), HasSubstr("a call of FloatStorage"));
    EXPECT_THAT(error(pickle::call(pickle::global("collections", "OrderedDict"), {"]"})), HasSubstr("Python 2"));
    EXPECT_THAT(error(pickle::tuple({pickle::str("module")}) + "Q"), HasSubstr("a persistent id that is not"));
    EXPECT_THAT(error(pickle::tuple({pickle::str("storage"), pickle::global("collections", "OrderedDict"),
                                     pickle::str("0"), pickle::str("cpu"), "K\x01"}) +
                      "Q"),
                HasSubstr("OrderedDict is no type of storage"));
}

}  // namespace
}  // namespace mia
