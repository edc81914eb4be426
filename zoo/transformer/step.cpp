// One more id for every row of a cache: all layers of a transformer in one call. See compiled.py.
//
// Every matrix and every key and value that is seen is read once, as it lies in memory; sums are kept in float32, also
// where weights are bfloat16, which are widened in registers. Threads share out the outputs of a product and the heads
// of attention. A vector has LANES numbers; widths must be multiples of it.

#include <cmath>
#include <cstdint>
#include <cstring>
#include <omp.h>

namespace {

#if defined(__AVX512F__)
constexpr int LANES = 16;
#elif defined(__AVX__)
constexpr int LANES = 8;
#else
constexpr int LANES = 4;
#endif

typedef float Vector __attribute__((vector_size(4 * LANES)));
typedef int32_t Integers __attribute__((vector_size(4 * LANES)));
typedef uint32_t Words __attribute__((vector_size(4 * LANES)));
typedef uint16_t Halves __attribute__((vector_size(2 * LANES)));

struct bfloat16 {
    uint16_t bits;
};

inline Vector load(const float* at) {
    Vector result;
    std::memcpy(&result, at, sizeof result);
    return result;
}

inline Vector load(const bfloat16* at) {
    Halves halves;
    std::memcpy(&halves, at, sizeof halves);
    return (Vector)(__builtin_convertvector(halves, Words) << 16);
}

inline void store(float* at, Vector values) { std::memcpy(at, &values, sizeof values); }

inline void store(bfloat16* at, Vector values) {  // to the nearest, of two as near to the even one
    Words words = (Words)values;
    Words rounded = (words + 0x7FFF + ((words >> 16) & 1)) >> 16;
    Halves halves = __builtin_convertvector(values == values ? rounded : (words >> 16) | 0x40, Halves);
    std::memcpy(at, &halves, sizeof halves);
}

inline Vector all(float value) { return value - Vector{}; }

// Even and odd numbers of two vectors.
#if defined(__AVX512F__)
inline Vector even(Vector a, Vector b) {
    return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
}
inline Vector odd(Vector a, Vector b) {
    return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
}
#elif defined(__AVX__)
inline Vector even(Vector a, Vector b) { return __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14); }
inline Vector odd(Vector a, Vector b) { return __builtin_shufflevector(a, b, 1, 3, 5, 7, 9, 11, 13, 15); }
#else
inline Vector even(Vector a, Vector b) { return __builtin_shufflevector(a, b, 0, 2, 4, 6); }
inline Vector odd(Vector a, Vector b) { return __builtin_shufflevector(a, b, 1, 3, 5, 7); }
#endif

// The sum of each of LANES vectors, in one vector.
template <int COUNT>
inline Vector sums(const Vector* values) {
    if constexpr (COUNT == 1) {
        return values[0];
    } else {
        Vector pairs[COUNT / 2];
#pragma GCC unroll 16
        for (int i = 0; i < COUNT / 2; i++)
            pairs[i] = even(values[2 * i], values[2 * i + 1]) + odd(values[2 * i], values[2 * i + 1]);
        return sums<COUNT / 2>(pairs);
    }
}

inline float sum(Vector values) {
    float total = 0;
    for (int lane = 0; lane < LANES; lane++) total += values[lane];
    return total;
}

// e^x, relative error below 2e-7.
inline Vector exponential(Vector x) {
    x = x < all(-87.0f) ? all(-87.0f) : x;
    x = x > all(88.0f) ? all(88.0f) : x;
    Vector shifted = x * 1.44269504f + 12582912.0f;  // rounds to a whole number, in the lowest bits
    Vector whole = shifted - 12582912.0f;
    Vector rest = x - whole * 0.693359375f + whole * 2.12194440e-4f;
    Vector result = all(1.9875691500e-4f);
    result = result * rest + 1.3981999507e-3f;
    result = result * rest + 8.3334519073e-3f;
    result = result * rest + 4.1665795894e-2f;
    result = result * rest + 1.6666665459e-1f;
    result = result * rest + 5.0000001201e-1f;
    result = result * rest * rest + rest + 1.0f;
    return result * (Vector)(((Integers)shifted + 127) << 23);
}

inline Vector sigmoid(Vector x) { return 1.0f / (1.0f + exponential(-x)); }

// Abramowitz and Stegun 1964, equation 7.1.26, error below 2e-7.
inline Vector error_function(Vector x) {
    Vector size = x < 0.0f ? -x : x;
    Vector t = 1.0f / (1.0f + 0.3275911f * size);
    Vector sum = t * (0.254829592f + t * (-0.284496736f + t * (1.421413741f + t * (-1.453152027f + t * 1.061405429f))));
    Vector result = 1.0f - sum * exponential(-size * size);
    return x < 0.0f ? -result : result;
}

enum Activation { GELU, GELU_TANH, QUICK_GELU, RELU, SILU };  // as in compiled.py

inline Vector activate(Vector x, int64_t activation) {
    switch (activation) {
        case GELU: return 0.5f * x * (1.0f + error_function(x * 0.70710678f));
        case GELU_TANH: return x * sigmoid(1.59576912f * (x + 0.044715f * x * x * x));
        case QUICK_GELU: return x * sigmoid(1.702f * x);
        case RELU: return x < 0.0f ? all(0.0f) : x;
        default: return x * sigmoid(x);
    }
}

// The part of `count` things that this thread does, in multiples of `unit`.
struct Share {
    int64_t begin, end;
    Share(int64_t count, int64_t unit) {
        int64_t units = (count + unit - 1) / unit, threads = omp_get_num_threads(), thread = omp_get_thread_num();
        begin = units * thread / threads * unit;
        end = units * (thread + 1) / threads * unit;
        if (end > count) end = count;
    }
};

// ROWS rows times LANES / ROWS outputs: one vector of dot products, which lies row by row. Meanwhile AHEAD of the
// weights that come next, from `place` on, are fetched, `distance` numbers further on: without, the memory would wait
// for the sums at the end.
template <int ROWS, int AHEAD, class T>
inline Vector dots(const float* x, int64_t inputs, const T* const* weights, int64_t distance, int64_t place = 0) {
    constexpr int OUTPUTS = LANES / ROWS;
    const T* const* ahead = weights + (AHEAD == OUTPUTS ? 0 : place);
    Vector totals[LANES] = {};
    for (int64_t i = 0; i < inputs; i += LANES) {
        Vector given[ROWS];
#pragma GCC unroll 16
        for (int row = 0; row < ROWS; row++) given[row] = load(x + row * inputs + i);
#pragma GCC unroll 16
        for (int output = 0; output < OUTPUTS; output++) {
            Vector weight = load(weights[output] + i);
            if (output < AHEAD) __builtin_prefetch(ahead[output] + distance + i);
#pragma GCC unroll 16
            for (int row = 0; row < ROWS; row++) totals[row * OUTPUTS + output] += given[row] * weight;
        }
    }
    return sums<LANES>(totals);
}

inline float number(const float* at) { return *at; }
inline float number(const bfloat16* at) {
    uint32_t bits = (uint32_t)at->bits << 16;
    float result;
    std::memcpy(&result, &bits, sizeof result);
    return result;
}

// result[row, output] = x[row] . weight[output] + bias[output], added to what is there if `add`.
template <class T>
struct Matrix {
    const T *weight, *bias;
    int64_t inputs, outputs;
};

// LANES / ROWS outputs from `first` on, fewer at `end`, for ROWS rows.
template <int ROWS, int AHEAD, class T>
inline void tile(const float* x, const Matrix<T>& matrix, int64_t first, int64_t end, int64_t place, float* result,
                 bool add) {
    constexpr int OUTPUTS = LANES / ROWS;
    const T* weights[OUTPUTS];
    for (int i = 0; i < OUTPUTS; i++)
        weights[i] = matrix.weight + (first + i < end ? first + i : end - 1) * matrix.inputs;
    float sums[LANES], biases[OUTPUTS];
    store(sums, dots<ROWS, AHEAD>(x, matrix.inputs, weights, OUTPUTS * matrix.inputs, place));
    const int64_t count = end - first < OUTPUTS ? end - first : OUTPUTS;
    for (int i = 0; i < count; i++) biases[i] = matrix.bias ? number(matrix.bias + first + i) : 0.0f;
    for (int row = 0; row < ROWS; row++) {
        float* at = result + row * matrix.outputs + first;
        auto put = [&](int64_t outputs) {
            for (int i = 0; i < outputs; i++) at[i] = sums[row * OUTPUTS + i] + biases[i] + (add ? at[i] : 0.0f);
        };
        count == OUTPUTS ? put(OUTPUTS) : put(count);
    }
}

// The same for all rows, ROWS at a time, while what comes after these weights is fetched, a part with each of them.
template <int ROWS, int AHEAD, class T>
inline void tiles(const float* x, int64_t rows, const Matrix<T>& matrix, int64_t first, int64_t end, float* result,
                  bool add) {
    constexpr int64_t LAST = LANES / ROWS - AHEAD;
    for (int64_t row = 0, place = 0; row < rows; row += ROWS, place = place + AHEAD < LAST ? place + AHEAD : LAST)
        tile<ROWS, AHEAD>(x + row * matrix.inputs, matrix, first, end, place, result + row * matrix.outputs, add);
}

// This thread's outputs of x (rows, inputs); the result is (rows, outputs).
template <class T>
void product(const float* x, int64_t rows, const Matrix<T>& matrix, float* result, bool add = false) {
    Share share(matrix.outputs, LANES);
    const int64_t fours = rows / 4 * 4, twos = rows / 2 * 2 - fours;
    for (int64_t output = share.begin; output < share.end; output += LANES) {
        auto part = [&](auto many_tiles, int64_t outputs, int64_t begin, int64_t count) {
            for (int64_t first = output; count && first < output + LANES && first < share.end; first += outputs)
                many_tiles(x + begin * matrix.inputs, count, matrix, first, share.end, result + begin * matrix.outputs,
                           add);
        };
        part(fours < 8 ? tiles<4, LANES / 4, T> : fours < 16 ? tiles<4, (LANES + 4) / 8, T> : tiles<4, 1, T>, LANES / 4, 0,
             fours);
        part(tiles<2, LANES / 2, T>, LANES / 2, fours, twos);
        part(tiles<1, LANES, T>, LANES, fours + twos, rows - fours - twos);
    }
}

struct Shape {
    int64_t depth, rows, width, heads, key_heads, head_width, hidden, activation, gated;
    int64_t mean;   // whether norms remove it
    int64_t slots;  // of the longest cache
    float eps;
};

struct Norm {
    const void *gain, *bias;
};

struct Product {
    const void *weight, *bias;
};

struct Seen {
    int64_t slot, start, count, stride;  // where the new key goes, -1 for nowhere; which slots the query sees
};

struct Layer {
    Norm before, between;
    Product input, output, first, second;
    void *keys, *values;  // (rows * key_heads, slots, head_width)
    int64_t slots;
    const Seen* seen;
};

template <class T>
void normalise(const float* x, float* result, const Norm& norm, const Shape& shape) {
    const T *gain = (const T*)norm.gain, *bias = (const T*)norm.bias;
    int64_t width = shape.width;
    for (int64_t row = 0; row < shape.rows; row++, x += width, result += width) {
        Vector total = {}, squares = {};
        float mean = 0;
        if (shape.mean) {
            for (int64_t i = 0; i < width; i += LANES) total += load(x + i);
            mean = sum(total) / width;
        }
        for (int64_t i = 0; i < width; i += LANES) {
            Vector centred = load(x + i) - mean;
            squares += centred * centred;
        }
        float scale = 1.0f / std::sqrt(sum(squares) / width + shape.eps);
        for (int64_t i = 0; i < width; i += LANES) {
            Vector value = (load(x + i) - mean) * scale * load(gain + i);
            store(result + i, bias ? value + load(bias + i) : value);
        }
    }
}

inline void turn(float* x, const float* cosines, const float* sines, int64_t width) {
    for (int64_t i = 0; i < width / 2; i++) {
        float first = x[i], second = x[i + width / 2];
        x[i] = first * cosines[i] - second * sines[i];
        x[i + width / 2] = second * cosines[i + width / 2] + first * sines[i + width / 2];
    }
}

// softmax(q k) v of one query, which is scaled already.
template <class T>
void attend(const float* query, const T* keys, const T* values, const Seen& seen, int64_t width, float* scores,
            float* result) {
    const int64_t step = seen.stride * width;
    keys += seen.start * width;
    values += seen.start * width;
    Vector highest = all(-INFINITY);
    for (int64_t first = 0; first < seen.count; first += LANES) {
        const T* near[LANES];
        for (int i = 0; i < LANES; i++)
            near[i] = keys + (first + i < seen.count ? first + i : seen.count - 1) * step;
        Vector score = dots<1, LANES>(query, width, near, LANES * step);
        store(scores + first, score);
        highest = score > highest ? score : highest;  // the last one is repeated up to a whole vector
    }
    float most = -INFINITY;
    for (int lane = 0; lane < LANES; lane++) most = highest[lane] > most ? highest[lane] : most;
    Vector total = {};
    for (int64_t first = 0; first < seen.count; first += LANES) {
        Vector weight = exponential(load(scores + first) - most);
        for (int64_t i = seen.count - first; i < LANES; i++) weight[i] = 0;
        store(scores + first, weight);
        total += weight;
    }
    float share = 1.0f / sum(total);
    for (int64_t i = 0; i < width;) {
        if (i + 4 * LANES <= width) {
            Vector sum[4] = {};
            for (int64_t slot = 0; slot < seen.count; slot++)
                for (int part = 0; part < 4; part++) sum[part] += scores[slot] * load(values + slot * step + i + part * LANES);
            for (int part = 0; part < 4; part++, i += LANES) store(result + i, sum[part] * share);
        } else {
            Vector sum = {}, second = {};
            int64_t slot = 0;
            for (; slot + 2 <= seen.count; slot += 2) {
                sum += scores[slot] * load(values + slot * step + i);
                second += scores[slot + 1] * load(values + (slot + 1) * step + i);
            }
            if (slot < seen.count) sum += scores[slot] * load(values + slot * step + i);
            store(result + i, (sum + second) * share);
            i += LANES;
        }
    }
}

// Ask for what a query will see, where it is a handful of lines far apart, which the processor does not foresee.
template <class T>
void fetch(const T* cache, const Seen& seen, int64_t width) {
    constexpr int64_t LINE = 64, MOST = 128;
    const int64_t bytes = width * sizeof(T);
    if (seen.count * bytes > MOST * LINE) return;
    for (int64_t slot = 0; slot < seen.count; slot++)
        for (int64_t i = 0; i < bytes; i += LINE)
            __builtin_prefetch((const char*)(cache + (seen.start + slot * seen.stride) * width) + i);
}

// The new keys and values into the cache, then attention of this thread's heads.
template <class T>
void attention(float* given, float* result, const Layer& layer, const Shape& shape, const float* cosines,
               const float* sines, float* scores) {
    const int64_t width = shape.head_width, group = shape.heads / shape.key_heads;
    const int64_t row_size = (shape.heads + 2 * shape.key_heads) * width;
    const float scale = 1.0f / std::sqrt((float)width);
    Share share(shape.rows * shape.key_heads, 1);
    for (int64_t item = share.begin; item < share.end; item++) {
        const int64_t row = item / shape.key_heads, head = item % shape.key_heads;
        float* queries = given + row * row_size + head * group * width;
        float* key = given + row * row_size + (shape.heads + head) * width;
        float* value = key + shape.key_heads * width;
        T *keys = (T*)layer.keys + item * layer.slots * width, *values = (T*)layer.values + item * layer.slots * width;
        if (item + 1 < share.end) {
            fetch(keys + layer.slots * width, *layer.seen, width);
            fetch(values + layer.slots * width, *layer.seen, width);
        }
        if (cosines) turn(key, cosines, sines, width);
        if (layer.seen->slot >= 0)
            for (int64_t i = 0; i < width; i += LANES) {
                store(keys + layer.seen->slot * width + i, load(key + i));
                store(values + layer.seen->slot * width + i, load(value + i));
            }
        for (int64_t member = 0; member < group; member++) {
            float* query = queries + member * width;
            float* attended = result + (row * shape.heads + head * group + member) * width;
            if (!layer.seen->count) {
                std::memset(attended, 0, width * sizeof(float));
                continue;
            }
            if (cosines) turn(query, cosines, sines, width);
            for (int64_t i = 0; i < width; i += LANES) store(query + i, load(query + i) * scale);
            attend(query, keys, values, *layer.seen, width, scores, attended);
        }
    }
}

struct Scratch {
    float *packed, *attended, *wide, *hidden, *normal, *scores;  // the last two are a thread's own

    Scratch(float* memory, const Shape& shape, int64_t thread) {
        packed = memory;
        attended = packed + shape.rows * (shape.heads + 2 * shape.key_heads) * shape.head_width;
        wide = attended + shape.rows * shape.heads * shape.head_width;
        hidden = wide + shape.rows * shape.hidden * (1 + shape.gated);
        normal = hidden + shape.rows * shape.hidden + thread * own(shape);
        scores = normal + shape.rows * shape.width;
    }

    static int64_t own(const Shape& shape) { return shape.rows * shape.width + shape.slots + LANES; }
};

template <class T>
void layer_step(float* x, const Layer& layer, const Shape& shape, const float* cosines, const float* sines,
                const Scratch& scratch) {
    const int64_t rows = shape.rows, width = shape.width, inner = shape.heads * shape.head_width;
    const int64_t packed = inner + 2 * shape.key_heads * shape.head_width;
    const int64_t hidden = shape.hidden, wide = hidden * (1 + shape.gated);
    auto matrix = [](const Product& given, int64_t inputs, int64_t outputs) {
        return Matrix<T>{(const T*)given.weight, (const T*)given.bias, inputs, outputs};
    };

    normalise<T>(x, scratch.normal, layer.before, shape);
    product(scratch.normal, rows, matrix(layer.input, width, packed), scratch.packed);
#pragma omp barrier
    attention<T>(scratch.packed, scratch.attended, layer, shape, cosines, sines, scratch.scores);
#pragma omp barrier
    product(scratch.attended, rows, matrix(layer.output, inner, width), x, true);
#pragma omp barrier
    normalise<T>(x, scratch.normal, layer.between, shape);
    product(scratch.normal, rows, matrix(layer.first, width, wide), scratch.wide);
    if (shape.gated) {
#pragma omp barrier
    }
    Share share(hidden, LANES);  // without a gate the same outputs as above
    for (int64_t row = 0; row < rows; row++)
        for (int64_t i = share.begin; i < share.end; i += LANES) {
            const float* at = scratch.wide + row * wide + i;
            Vector value = activate(load(at), shape.activation);
            store(scratch.hidden + row * hidden + i, shape.gated ? value * load(at + hidden) : value);
        }
#pragma omp barrier
    product(scratch.hidden, rows, matrix(layer.second, hidden, width), x, true);
#pragma omp barrier
}

template <class T>
void step(const Shape& shape, const Layer* layers, float* x, const float* cosines, const float* sines, float* memory,
          int threads) {
#pragma omp parallel num_threads(threads)
    {
        Scratch scratch(memory, shape, omp_get_thread_num());
        for (int64_t i = 0; i < shape.depth; i++) layer_step<T>(x, layers[i], shape, cosines, sines, scratch);
    }
}

template <class T>
void multiply(const float* x, int64_t rows, const Matrix<T>& matrix, float* result, int threads) {
#pragma omp parallel num_threads(threads)
    product(x, rows, matrix, result);
}
}  // namespace

extern "C" {

int64_t lanes() { return LANES; }

int64_t scratch_size(const Shape* shape, int threads) {
    Scratch scratch(nullptr, *shape, threads);
    return scratch.normal - (float*)nullptr;
}

void step_float32(const Shape* shape, const Layer* layers, float* x, const float* cosines, const float* sines,
                  float* memory, int threads) {
    step<float>(*shape, layers, x, cosines, sines, memory, threads);
}

void step_bfloat16(const Shape* shape, const Layer* layers, float* x, const float* cosines, const float* sines,
                   float* memory, int threads) {
    step<bfloat16>(*shape, layers, x, cosines, sines, memory, threads);
}

void multiply_float32(const float* x, int64_t rows, const Matrix<float>* matrix, float* result, int threads) {
    multiply(x, rows, *matrix, result, threads);
}

void multiply_bfloat16(const float* x, int64_t rows, const Matrix<bfloat16>* matrix, float* result, int threads) {
    multiply(x, rows, *matrix, result, threads);
}
}
