#pragma once
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mia/core/error.hpp"
#include "mia/io/bytes.hpp"
#include "mia/io/state_dict.hpp"

namespace mia::detail {

enum class PickleKind : std::uint8_t {
    none,
    boolean,
    integer,
    real,
    string,
    tuple,
    list,
    dict,
    global,
    storage,
    tensor
};

constexpr const char* name_of(PickleKind kind) {
    constexpr const char* names[] = {
        "None",      "a bool",  "an int", "a float", "a string", "a tuple", "a list", "a dict", "a class or function",
        "a storage", "a tensor"};
    return names[std::size_t(kind)];
}

/// `number` is the value of an integer or bool, nothing for None and float (nobody asks for those), and otherwise an
/// index into the machine's array for that kind. Small and trivial: objects that contain each other cannot leak or
/// recurse.
struct PickleValue {
    PickleKind kind = PickleKind::none;
    std::int64_t number = 0;
};

/// The storage that a tensor looks into: `elements` of `dtype`, in the archive's entry data/<key>.
struct PickleStorage {
    DType dtype;
    std::string_view key;
    std::int64_t elements;
};

/// Offset and strides count elements of the storage. Lengths agree; nothing else is checked yet.
struct PickleTensor {
    std::size_t storage;
    std::int64_t offset;
    std::vector<std::int64_t> shape, strides;
};

enum class PickleGlobal : std::uint8_t { ordered_dict, rebuild_tensor, rebuild_parameter, storage };

struct KnownGlobal {
    std::string_view module, name;
    PickleGlobal global;
    DType dtype = DType::float32;  // of a storage
};

/// All that a state dict refers to. A name outside of this list ends the reading.
inline constexpr KnownGlobal known_globals[] = {
    {"collections", "OrderedDict", PickleGlobal::ordered_dict},
    {"torch._utils", "_rebuild_tensor_v2", PickleGlobal::rebuild_tensor},
    {"torch._utils", "_rebuild_parameter", PickleGlobal::rebuild_parameter},
    {"torch", "FloatStorage", PickleGlobal::storage, DType::float32},
    {"torch", "DoubleStorage", PickleGlobal::storage, DType::float64},
    {"torch", "HalfStorage", PickleGlobal::storage, DType::float16},
    {"torch", "BFloat16Storage", PickleGlobal::storage, DType::bfloat16},
    {"torch", "LongStorage", PickleGlobal::storage, DType::int64},
    {"torch", "IntStorage", PickleGlobal::storage, DType::int32},
    {"torch", "ShortStorage", PickleGlobal::storage, DType::int16},
    {"torch", "CharStorage", PickleGlobal::storage, DType::int8},
    {"torch", "ByteStorage", PickleGlobal::storage, DType::uint8},
    {"torch", "BoolStorage", PickleGlobal::storage, DType::boolean},
};

/// Opcodes that exist and are refused, for messages.
struct RefusedOpcode {
    char code;
    const char* name;
};
inline constexpr RefusedOpcode refused_opcodes[] = {{'F', "FLOAT"},
                                                    {'I', "INT"},
                                                    {'L', "LONG"},
                                                    {'P', "PERSID"},
                                                    {'S', "STRING"},
                                                    {'T', "BINSTRING"},
                                                    {'U', "SHORT_BINSTRING"},
                                                    {'V', "UNICODE"},
                                                    {'B', "BINBYTES"},
                                                    {'C', "SHORT_BINBYTES"},
                                                    {'0', "POP"},
                                                    {'1', "POP_MARK"},
                                                    {'2', "DUP"},
                                                    {'d', "DICT"},
                                                    {'g', "GET"},
                                                    {'i', "INST"},
                                                    {'l', "LIST"},
                                                    {'o', "OBJ"},
                                                    {'p', "PUT"},
                                                    {'\x81', "NEWOBJ"},
                                                    {'\x82', "EXT1"},
                                                    {'\x83', "EXT2"},
                                                    {'\x84', "EXT4"},
                                                    {'\x8b', "LONG4"},
                                                    {'\x8d', "BINUNICODE8"},
                                                    {'\x8e', "BINBYTES8"},
                                                    {'\x8f', "EMPTY_SET"},
                                                    {'\x90', "ADDITEMS"},
                                                    {'\x91', "FROZENSET"},
                                                    {'\x92', "NEWOBJ_EX"},
                                                    {'\x96', "BYTEARRAY8"},
                                                    {'\x97', "NEXT_BUFFER"},
                                                    {'\x98', "READONLY_BUFFER"}};

/// The machine for data.pkl: a stack, a memo, and the opcodes that torch.save writes for dictionaries of tensors. It
/// builds descriptions only; no name from the file is ever looked up or called. Bounded: each opcode adds at most one
/// value and there are at most max_opcodes, the stack holds at most max_stack values, the memo no more slots than the
/// pickle has bytes.
class PickleMachine {
public:
    static constexpr std::size_t max_bytes = std::size_t(64) << 20;
    static constexpr std::size_t max_opcodes = std::size_t(1) << 22;  // the published checkpoint takes about 80000
    static constexpr std::size_t max_stack = std::size_t(1) << 16;    // PyTorch hands over 1000 items at a time

    /// `pickle` must outlive the machine. `source` opens every message.
    PickleMachine(std::span<const std::byte> pickle, std::string source)
        : pickle_(pickle), source_(std::move(source)) {}

    /// Runs to the STOP opcode and returns what is then on the stack.
    PickleValue run() {
        if (pickle_.size() > max_bytes) fail(pickle_.size(), " bytes of pickle, and at most ", max_bytes, " are read");
        for (std::size_t count = 0;; ++count) {
            if (count == max_opcodes) fail("more than ", max_opcodes, " opcodes");
            opcode_at_ = position_;
            const char code = take<char>();
            if (code == '.') break;
            execute(code);
            if (stack_.size() > max_stack) fail("more than ", max_stack, " values on the stack");
        }
        const PickleValue result = pop();
        if (!stack_.empty() || !marks_.empty()) fail("STOP leaves ", stack_.size(), " values on the stack");
        if (position_ != pickle_.size()) fail(pickle_.size() - position_, " bytes follow the STOP");
        return result;
    }

    using Item = std::pair<PickleValue, PickleValue>;
    std::string_view string(PickleValue value) const { return strings_[std::size_t(value.number)]; }
    const std::vector<Item>& dict(PickleValue value) const { return dicts_[std::size_t(value.number)]; }
    const PickleTensor& tensor(PickleValue value) const { return tensors_[std::size_t(value.number)]; }
    const PickleStorage& storage(const PickleTensor& tensor) const { return storages_[tensor.storage]; }

private:
    template <class... Parts>
    [[noreturn]] void fail(const Parts&... parts) const {
        throw Error(text(source_, ": data.pkl at byte ", opcode_at_, ": ", parts..., "\n", fetch_again));
    }

    /// For what Python could load and this library will not.
    template <class... Parts>
    [[noreturn]] void refuse(const Parts&... parts) const {
        throw Error(text(source_, ": data.pkl at byte ", opcode_at_, ": ", parts...,
                         "\nOnly dictionaries of tensors are read, and nothing in a file is ever run. If you trust it, "
                         "load it with PyTorch and save model.state_dict() with torch.save."));
    }

    std::span<const std::byte> take_bytes(std::uint64_t count) {
        if (count > pickle_.size() - position_)
            fail("needs ", count, " more bytes and the pickle has ", pickle_.size() - position_);
        const auto bytes = pickle_.subspan(position_, std::size_t(count));
        position_ += std::size_t(count);
        return bytes;
    }

    template <class T>
    T take() {
        return load_le<T>(take_bytes(sizeof(T)).data());
    }

    /// Up to the next line feed, which is skipped.
    std::string_view take_line() {
        const std::string_view rest = as_text(pickle_.subspan(position_));
        const std::size_t end = rest.find('\n');
        if (end == std::string_view::npos) fail("a line has no end");
        position_ += end + 1;
        return rest.substr(0, end);
    }

    void push(PickleKind kind, std::int64_t number = 0) { stack_.push_back({kind, number}); }

    template <class T>
    void push_new(PickleKind kind, std::vector<T>& pool, T object) {
        pool.push_back(std::move(object));
        push(kind, std::int64_t(pool.size() - 1));
    }

    void push_string(std::span<const std::byte> bytes) {
        const std::string_view value = as_text(bytes);
        if (first_invalid_utf8(value) != std::string_view::npos) fail("the string ", printable(value), " is not UTF-8");
        push_new(PickleKind::string, strings_, value);
    }

    /// Never takes values from below the last mark.
    PickleValue pop() {
        if (stack_.size() <= (marks_.empty() ? 0 : marks_.back())) fail("takes a value from an empty stack");
        const PickleValue value = stack_.back();
        stack_.pop_back();
        return value;
    }

    PickleValue pop(PickleKind kind, const char* use) {
        const PickleValue value = pop();
        if (value.kind != kind) fail(use, " should be ", name_of(kind), " and is ", name_of(value.kind));
        return value;
    }

    std::vector<PickleValue> pop_to_mark() {
        if (marks_.empty()) fail("takes values down to a mark, and there is none");
        std::vector<PickleValue> values(stack_.begin() + std::ptrdiff_t(marks_.back()), stack_.end());
        stack_.resize(marks_.back());
        marks_.pop_back();
        return values;
    }

    void push_tuple(std::size_t size) {
        std::vector<PickleValue> values(size);
        for (std::size_t i = size; i-- > 0;) values[i] = pop();
        push_new(PickleKind::tuple, sequences_, std::move(values));
    }

    const std::vector<PickleValue>& items(PickleValue sequence) const {
        return sequences_[std::size_t(sequence.number)];
    }

    void put(std::uint64_t slot) {
        // Every slot that PyTorch fills costs it an opcode, so a higher number is an attempt to make the memo grow.
        if (slot >= std::min(pickle_.size(), max_opcodes))
            fail("memo slot ", slot, " in a pickle of ", pickle_.size(), " bytes");
        const PickleValue value = pop();
        stack_.push_back(value);
        if (slot >= memo_.size()) memo_.resize(std::size_t(slot) + 1);
        memo_[std::size_t(slot)] = value;
    }

    void get(std::uint64_t slot) {
        if (slot >= memo_.size() || !memo_[std::size_t(slot)]) fail("memo slot ", slot, " is empty");
        stack_.push_back(*memo_[std::size_t(slot)]);
    }

    void execute(char code) {
        switch (code) {
            case '\x80':  // PROTO
                if (const auto version = take<std::uint8_t>(); version < 2 || version > 5)
                    refuse("pickle protocol ", int(version), ", and 2 to 5 are read");
                break;
            case '\x95':
                take<std::uint64_t>();
                break;  // FRAME: only a hint about buffering
            case '(':   // MARK
                if (marks_.size() == max_stack) fail("more than ", max_stack, " marks");
                marks_.push_back(stack_.size());
                break;
            case 'N':
                push(PickleKind::none);
                break;
            case '\x88':
                push(PickleKind::boolean, 1);
                break;  // NEWTRUE
            case '\x89':
                push(PickleKind::boolean, 0);
                break;  // NEWFALSE
            case 'J':
                push(PickleKind::integer, take<std::int32_t>());
                break;  // BININT
            case 'K':
                push(PickleKind::integer, take<std::uint8_t>());
                break;  // BININT1
            case 'M':
                push(PickleKind::integer, take<std::uint16_t>());
                break;  // BININT2
            case '\x8a':
                push_long(take_bytes(take<std::uint8_t>()));
                break;  // LONG1
            case 'G':
                take_bytes(8), push(PickleKind::real);
                break;  // BINFLOAT
            case 'X':
                push_string(take_bytes(take<std::uint32_t>()));
                break;  // BINUNICODE
            case '\x8c':
                push_string(take_bytes(take<std::uint8_t>()));
                break;  // SHORT_BINUNICODE
            case '}':
                push_new(PickleKind::dict, dicts_, std::vector<Item>());
                break;  // EMPTY_DICT
            case ']':
                push_new(PickleKind::list, sequences_, std::vector<PickleValue>());
                break;  // EMPTY_LIST
            case ')':
                push_tuple(0);
                break;  // EMPTY_TUPLE
            case '\x85':
                push_tuple(1);
                break;  // TUPLE1
            case '\x86':
                push_tuple(2);
                break;  // TUPLE2
            case '\x87':
                push_tuple(3);
                break;  // TUPLE3
            case 't':
                push_new(PickleKind::tuple, sequences_, pop_to_mark());
                break;  // TUPLE
            case 'q':
                put(take<std::uint8_t>());
                break;  // BINPUT
            case 'r':
                put(take<std::uint32_t>());
                break;  // LONG_BINPUT
            case '\x94':
                put(memo_.size());
                break;  // MEMOIZE
            case 'h':
                get(take<std::uint8_t>());
                break;  // BINGET
            case 'j':
                get(take<std::uint32_t>());
                break;   // LONG_BINGET
            case 'c': {  // GLOBAL
                const std::string_view module = take_line();
                push_global(module, take_line());
                break;
            }
            case '\x93': {  // STACK_GLOBAL
                const std::string_view name = string(pop(PickleKind::string, "a global's name"));
                push_global(string(pop(PickleKind::string, "a global's module")), name);
                break;
            }
            case 'a': {  // APPEND
                const PickleValue value = pop();
                append({value});
                break;
            }
            case 'e':
                append(pop_to_mark());
                break;   // APPENDS
            case 's': {  // SETITEM
                const PickleValue value = pop();
                const PickleValue key = pop();
                set_items({key, value});
                break;
            }
            case 'u':
                set_items(pop_to_mark());
                break;  // SETITEMS
            case 'Q':
                persistent_id();
                break;  // BINPERSID
            case 'R':
                reduce();
                break;  // REDUCE
            case 'b':
                build();
                break;  // BUILD
            default:
                refuse_opcode(code);
        }
    }

    [[noreturn]] void refuse_opcode(char code) const {
        const auto known = std::find_if(std::begin(refused_opcodes), std::end(refused_opcodes),
                                        [&](const RefusedOpcode& opcode) { return opcode.code == code; });
        if (known == std::end(refused_opcodes))
            fail("byte ", int(static_cast<unsigned char>(code)), " is no pickle opcode");
        refuse("the opcode ", known->name, " is not part of a state dict");
    }

    /// Little-endian two's complement of any length; no number of a state dict needs more than eight bytes.
    void push_long(std::span<const std::byte> bytes) {
        if (bytes.size() > 8) fail("an integer of ", bytes.size(), " bytes, and at most 8 are read");
        std::uint64_t value =
            !bytes.empty() && (bytes.back() & std::byte(0x80)) != std::byte(0) ? ~std::uint64_t(0) : 0;
        for (std::size_t i = bytes.size(); i-- > 0;) value = value << 8 | std::uint64_t(bytes[i]);
        push(PickleKind::integer, std::int64_t(value));
    }

    void push_global(std::string_view module, std::string_view name) {
        const auto known = std::find_if(std::begin(known_globals), std::end(known_globals),
                                        [&](const KnownGlobal& g) { return g.module == module && g.name == name; });
        if (known == std::end(known_globals))
            refuse("the global ", printable(std::string(module) + "." + std::string(name)),
                   " is not part of a state dict");
        push(PickleKind::global, known - std::begin(known_globals));
    }

    void append(const std::vector<PickleValue>& values) {
        const PickleValue list = pop(PickleKind::list, "what values are appended to");
        auto& target = sequences_[std::size_t(list.number)];
        target.insert(target.end(), values.begin(), values.end());
        stack_.push_back(list);
    }

    void set_items(const std::vector<PickleValue>& values) {
        const PickleValue target = pop(PickleKind::dict, "what items are set in");
        if (values.size() % 2 != 0) fail("a key has no value");
        for (std::size_t i = 0; i < values.size(); i += 2)
            dicts_[std::size_t(target.number)].emplace_back(values[i], values[i + 1]);
        stack_.push_back(target);
    }

    /// ('storage', torch.FloatStorage, key, location, number of elements)
    void persistent_id() {
        const auto& id = items(pop(PickleKind::tuple, "a persistent id"));
        const bool known = id.size() == 5 && id[0].kind == PickleKind::string && string(id[0]) == "storage" &&
                           id[1].kind == PickleKind::global && id[2].kind == PickleKind::string &&
                           id[4].kind == PickleKind::integer;
        if (!known) refuse("a persistent id that is not ('storage', type, key, location, size)");
        const KnownGlobal& type = known_globals[std::size_t(id[1].number)];
        if (type.global != PickleGlobal::storage) fail(type.name, " is no type of storage");
        push_new(PickleKind::storage, storages_, PickleStorage{type.dtype, string(id[2]), id[4].number});
    }

    void reduce() {
        const auto& arguments = items(pop(PickleKind::tuple, "the arguments of a call"));
        const KnownGlobal& global = known_globals[std::size_t(pop(PickleKind::global, "what is called").number)];
        switch (global.global) {
            case PickleGlobal::ordered_dict:
                if (!arguments.empty())
                    refuse("OrderedDict with ", arguments.size(), " arguments, as Python 2 wrote it");
                push_new(PickleKind::dict, dicts_, std::vector<Item>());
                break;
            case PickleGlobal::rebuild_tensor:
                push_new(PickleKind::tensor, tensors_, rebuild_tensor(arguments));
                break;
            case PickleGlobal::rebuild_parameter:  // (tensor, requires_grad, hooks): the tensor is all there is to it
                if (arguments.empty() || arguments[0].kind != PickleKind::tensor)
                    fail("_rebuild_parameter should get a tensor first");
                stack_.push_back(PickleValue(arguments[0]));
                break;
            case PickleGlobal::storage:
                refuse("a call of ", global.name);
        }
    }

    /// _rebuild_tensor_v2(storage, offset, size, stride, requires_grad, hooks[, metadata])
    PickleTensor rebuild_tensor(const std::vector<PickleValue>& arguments) const {
        const bool known = arguments.size() >= 4 && arguments[0].kind == PickleKind::storage &&
                           arguments[1].kind == PickleKind::integer && arguments[2].kind == PickleKind::tuple &&
                           arguments[3].kind == PickleKind::tuple;
        if (!known) fail("_rebuild_tensor_v2 should get a storage, an offset, a size and strides");
        PickleTensor tensor{std::size_t(arguments[0].number), arguments[1].number, integers(arguments[2]),
                            integers(arguments[3])};
        if (tensor.shape.size() != tensor.strides.size())
            fail("a tensor with ", tensor.shape.size(), " extents and ", tensor.strides.size(), " strides");
        return tensor;
    }

    std::vector<std::int64_t> integers(PickleValue tuple) const {
        const auto& values = items(tuple);
        if (values.size() > StateDict::max_rank)
            fail("a tensor has ", values.size(), " axes, and at most ", StateDict::max_rank, " are read");
        std::vector<std::int64_t> numbers;
        for (const PickleValue value : values) {
            if (value.kind != PickleKind::integer) fail("an extent or stride is ", name_of(value.kind));
            numbers.push_back(value.number);
        }
        return numbers;
    }

    /// object, state -> object. A module's state dict carries the versions of its layers as attribute _metadata, which
    /// nothing here needs.
    void build() {
        const PickleValue state = pop();
        const PickleValue object = pop();
        if (state.kind != PickleKind::dict || object.kind != PickleKind::dict)
            refuse("attributes (", name_of(state.kind), ") for ", name_of(object.kind), ", not for a dictionary");
        stack_.push_back(object);
    }

    std::span<const std::byte> pickle_;
    std::string source_;
    std::size_t position_ = 0, opcode_at_ = 0;
    std::vector<PickleValue> stack_;
    std::vector<std::size_t> marks_;  // heights of the stack
    std::vector<std::optional<PickleValue>> memo_;
    std::vector<std::string_view> strings_;
    std::vector<std::vector<PickleValue>> sequences_;  // tuples and lists
    std::vector<std::vector<Item>> dicts_;
    std::vector<PickleStorage> storages_;
    std::vector<PickleTensor> tensors_;
};

}  // namespace mia::detail
