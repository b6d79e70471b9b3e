// Softmax splatting for NVIDIA GPUs; see models/splatting/operators.py for the formulas and models/splatting/cuda.py for
// how it is launched. Plain C++ but for a few words of CUDA and without headers, so that NVRTC needs none and the
// tests can compile the same source for the processor.
//
// Shapes and strides are arguments: one compilation serves them all. Every argument is 64 bits wide, pointer or integer.
// Pixels are numbered through the batch, b * height * width + y * width + x. Nothing adds floating-point numbers
// atomically: each output pixel sums the list of what lands on it, each input pixel gathers its gradient from its four
// corners. Lists are filled in no fixed order; sort_lists fixes it where results have to repeat to the last bit.

typedef long long Index;

enum Mode { SUMMATION, AVERAGE, LINEAR, SOFTMAX };  // the order of models.splatting.reference.MODES

const int GATHER_CHANNELS = 8;  // at most, of a thread of splat; models.splatting.cuda has the same number

// ---- Half precision, as its 16 bits -----------------------------------------------------------------------------------

struct Half { unsigned short bits; };
struct BFloat16 { unsigned short bits; };

union FloatBits { unsigned int bits; float value; };

__device__ inline float widen(float x) { return x; }
__device__ inline double widen(double x) { return x; }

__device__ inline float widen(BFloat16 x)
{
    FloatBits wide;
    wide.bits = static_cast<unsigned int>(x.bits) << 16;
    return wide.value;
}

__device__ inline float widen(Half x)
{
#ifdef __CUDA_ARCH__
    float wide;
    asm("cvt.f32.f16 %0, %1;" : "=f"(wide) : "h"(x.bits));
    return wide;
#else
    return half_to_float(x.bits);
#endif
}

// Round to nearest, ties to even.
__device__ inline void narrow(float x, float& to) { to = x; }
__device__ inline void narrow(double x, double& to) { to = x; }

__device__ inline void narrow(float x, BFloat16& to)
{
    FloatBits wide;
    wide.value = x;
    to.bits = x != x ? 0x7fc0 : static_cast<unsigned short>((wide.bits + 0x7fff + ((wide.bits >> 16) & 1)) >> 16);
}

__device__ inline void narrow(float x, Half& to)
{
#ifdef __CUDA_ARCH__
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(to.bits) : "f"(x));
#else
    to.bits = float_to_half(x);
#endif
}

// ---- Geometry ---------------------------------------------------------------------------------------------------------

__device__ inline Index thread_index()
{
    return static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
}

struct Strides {
    Index image, channel, row, column;

    // Where a pixel of an image is, from the image's beginning. The usual layouts need no division.
    __device__ Index within(int pixel, Index width) const
    {
        if (row == width * column) return pixel * column;
        const int y = pixel / static_cast<int>(width);
        return y * row + (pixel - y * static_cast<int>(width)) * column;
    }
};

// The four pixels around a landing point, top left, top right, bottom left, bottom right; -1 for one outside.
template <typename A> struct Corners {
    int target[4];
    A weight[4];
    A right, below;  // fraction of the way to the right and to the lower corners

    // flow is [B, 2, H, W], contiguous.
    __device__ Corners(const A* flow, Index pixel, Index height, Index width)
    {
        const int area = static_cast<int>(height * width), image = static_cast<int>(pixel) / area;
        const int inside = static_cast<int>(pixel) - image * area, row = inside / static_cast<int>(width);
        const A* own = flow + 2 * static_cast<Index>(image) * area + inside;
        const A u = own[0], v = own[area];
        const A limit = 2 * (height > width ? height : width);
        for (int k = 0; k < 4; ++k) { target[k] = -1; weight[k] = 0; }
        right = below = 0;
        // Not finite compares false; what is further than this lands outside, and may not fit into an integer.
        if (!(fabs(u) <= limit && fabs(v) <= limit)) return;
        const A whole_u = floor(u), whole_v = floor(v);
        right = u - whole_u;
        below = v - whole_v;
        for (int k = 0; k < 4; ++k) {
            const int dx = k & 1, dy = k >> 1;
            const int x = inside - row * static_cast<int>(width) + static_cast<int>(whole_u) + dx;
            const int y = row + static_cast<int>(whole_v) + dy;
            if (x < 0 || x >= width || y < 0 || y >= height) continue;
            target[k] = static_cast<int>(pixel) - inside + y * static_cast<int>(width) + x;
            weight[k] = (dx ? right : 1 - right) * (dy ? below : 1 - below);
        }
    }
};

// What a bilinear weight is multiplied with before it is normalised; highest is the largest importance at the target.
template <typename A> __device__ inline A factor(A importance, A highest, Index mode)
{
    if (mode == LINEAR) return importance > 0 ? importance : static_cast<A>(0);
    if (mode == SOFTMAX) return importance < highest ? exp(importance - highest) : static_cast<A>(1);
    return 1;
}

// ---- Plan: a list of (source, weight) for each target -----------------------------------------------------------------

// count[q + 1] += the number of pixels that land on q. One thread a source pixel.
template <typename A>
__device__ inline void count(const A* flow, int* counts, Index size, Index height, Index width)
{
    const Index pixel = thread_index();
    if (pixel >= size) return;
    const Corners<A> corners(flow, pixel, height, width);
    for (int k = 0; k < 4; ++k)
        if (corners.weight[k] > 0) atomicAdd(counts + 1 + corners.target[k], 1);
}

// Enter each pixel in the lists of its targets; next[q] is the first free place of q's. One thread a source pixel.
template <typename A>
__device__ inline void fill(const A* flow, int* next, int* source, A* weight, Index size, Index height, Index width)
{
    const Index pixel = thread_index();
    if (pixel >= size) return;
    const Corners<A> corners(flow, pixel, height, width);
    for (int k = 0; k < 4; ++k) {
        if (!(corners.weight[k] > 0)) continue;
        const int place = atomicAdd(next + corners.target[k], 1);
        source[place] = static_cast<int>(pixel);
        weight[place] = corners.weight[k];
    }
}

template <typename V> __device__ inline void swap(V& a, V& b)
{
    const V before = a;
    a = b;
    b = before;
}

// Restore the order of a heap, largest source first, from which an entry may be too small.
template <typename A> __device__ inline void sift_down(int* source, A* weight, int root, int length)
{
    for (int child = 2 * root + 1; child < length; root = child, child = 2 * root + 1) {
        if (child + 1 < length && source[child + 1] > source[child]) ++child;
        if (source[child] <= source[root]) return;
        swap(source[root], source[child]);
        swap(weight[root], weight[child]);
    }
}

// Sort each list by source (a pixel is in a list once): by insertion, or by heap where it is long. One thread a target.
template <typename A> __device__ inline void sort_lists(const int* begin, int* source, A* weight, Index size)
{
    const Index target = thread_index();
    if (target >= size) return;
    const int length = begin[target + 1] - begin[target];
    source += begin[target];
    weight += begin[target];
    if (length > 32) {
        for (int root = length / 2 - 1; root >= 0; --root) sift_down(source, weight, root, length);
        for (int last = length - 1; last > 0; --last) {
            swap(source[0], source[last]);
            swap(weight[0], weight[last]);
            sift_down(source, weight, 0, last);
        }
        return;
    }
    for (int i = 1; i < length; ++i)
        for (int place = i; place > 0 && source[place - 1] > source[place]; --place) {
            swap(source[place - 1], source[place]);
            swap(weight[place - 1], weight[place]);
        }
}

// Turn bilinear weights into normalised ones. importance is [B, 1, H, W], contiguous. One thread a target.
template <typename A>
__device__ inline void weigh(
    const A* importance, const int* begin, const int* source, A* weight, A* peak, A* total, A* coverage, Index size,
    Index mode, A smallest)
{
    const Index target = thread_index();
    if (target >= size) return;
    const int first = begin[target], end = begin[target + 1];
    A bilinear = 0, sum = 0, highest = 0;
    if (mode == SOFTMAX) {
        // Softmax is the same whatever is subtracted at a target: the largest there, so that exp can't overflow.
        for (int i = first; i < end; ++i) {
            const A own = importance[source[i]];
            highest = i == first || own > highest ? own : highest;
        }
        peak[target] = highest;
    }
    for (int i = first; i < end; ++i) {
        bilinear += weight[i];
        if (mode == LINEAR || mode == SOFTMAX) weight[i] *= factor(importance[source[i]], highest, mode);
        sum += weight[i];
    }
    coverage[target] = bilinear;
    if (mode == SUMMATION) return;
    total[target] = sum;
    const A divisor = sum > smallest ? sum : smallest;
    for (int i = first; i < end; ++i) weight[i] /= divisor;
}

// ---- Splat ------------------------------------------------------------------------------------------------------------

// Which of the lanes of a pixel a thread is, so that neighbouring threads touch neighbouring memory. Lane l of L has the
// channels l, l + L, l + 2 L, ... Where pixels come first, the lanes of the same pixels are blocks that follow each other:
// what they all read, the lists and the flow, is then still in a cache.
struct Place {
    Index pixel, lane;
    __device__ Place(Index lanes, Index pixels_first)
    {
        const Index thread = thread_index(), pixels = blockDim.x, block = blockIdx.x;
        pixel = pixels_first ? block / lanes * pixels + threadIdx.x : thread / lanes;
        lane = pixels_first ? block % lanes : thread % lanes;
    }
};

// output[target] = sum of weight * values[source] over the target's list. `lanes` threads a pixel, in whole blocks of pixels.
template <typename T, typename A>
__device__ inline void splat(
    const T* values, const Strides from, const int* begin, const int* source, const A* weight, T* output,
    const Strides to, Index size, Index channels, Index height, Index width, Index lanes, Index pixels_first)
{
    const Place own(lanes, pixels_first);
    if (own.pixel >= size) return;
    A sum[GATHER_CHANNELS];
    for (int k = 0; k < GATHER_CHANNELS; ++k) sum[k] = 0;
    const int area = static_cast<int>(height * width), image = static_cast<int>(own.pixel) / area;
    const T* sources = values + image * from.image + own.lane * from.channel;
    const int end = begin[own.pixel + 1];
    for (int i = begin[own.pixel]; i < end; ++i) {
        // What lands on a pixel comes from the same image.
        const T* value = sources + from.within(source[i] - image * area, width);
        const A share = weight[i];
        for (int k = 0; k < GATHER_CHANNELS; ++k) {
            if (own.lane + k * lanes < channels) sum[k] += share * widen(value[k * lanes * from.channel]);
        }
    }
    T* result = output + image * to.image + own.lane * to.channel;
    result += to.within(static_cast<int>(own.pixel) - image * area, width);
    for (int k = 0; k < GATHER_CHANNELS; ++k)
        if (own.lane + k * lanes < channels) narrow(sum[k], result[k * lanes * to.channel]);
}

// Gradients by values, flow and importance; those by flow and importance [lanes, B, 3, H, W], each lane's channels
// apart, to be summed over lanes. A gradient whose pointer is null is left out. `lanes` threads a pixel, in whole
// blocks of pixels.
template <typename T, typename A>
__device__ inline void splat_backward(
    const T* gradient, const Strides g, const T* values, const Strides v, const T* output, const Strides o, const A* flow,
    const A* importance, const A* peak, const A* total, T* values_gradient, const Strides r, A* motion_gradient,
    Index size, Index channels, Index height, Index width, Index lanes, Index pixels_first, Index mode, A smallest)
{
    const Place own(lanes, pixels_first);
    if (own.pixel >= size) return;
    const int area = static_cast<int>(height * width), image = static_cast<int>(own.pixel) / area;
    const int here = static_cast<int>(own.pixel) - image * area;
    const Corners<A> corners(flow, own.pixel, height, width);
    const A z = importance ? importance[own.pixel] : static_cast<A>(0);
    A scale[4];  // factor / divisor of each corner; 0 where it is outside or nothing lands
    A worth[4];  // gradient . (value - output)
    Index at_gradient[4], at_output[4];
    for (int k = 0; k < 4; ++k) {
        scale[k] = worth[k] = 0;
        at_gradient[k] = at_output[k] = -1;
        const int target = corners.target[k];
        if (target < 0) continue;
        if (mode == SUMMATION) scale[k] = 1;
        else if (total[target] > 0) {
            const A divisor = total[target] > smallest ? total[target] : smallest;
            scale[k] = factor(z, mode == SOFTMAX ? peak[target] : static_cast<A>(0), mode) / divisor;
        } else continue;
        at_gradient[k] = image * g.image + g.within(target - image * area, width);
        at_output[k] = image * o.image + o.within(target - image * area, width);
    }
    const T* value = values + image * v.image + v.within(here, width);
    T* result = values_gradient ? values_gradient + image * r.image + r.within(here, width) : 0;
    for (Index channel = own.lane; channel < channels; channel += lanes) {
        const A mine = motion_gradient ? widen(value[channel * v.channel]) : static_cast<A>(0);
        A moved_back = 0;
        for (int k = 0; k < 4; ++k) {
            if (at_gradient[k] < 0) continue;
            const A theirs = widen(gradient[at_gradient[k] + channel * g.channel]);
            moved_back += corners.weight[k] * scale[k] * theirs;
            if (!motion_gradient) continue;
            const A sum = mode == SUMMATION ? static_cast<A>(0) : widen(output[at_output[k] + channel * o.channel]);
            worth[k] += theirs * (mine - sum);
        }
        if (result) narrow(moved_back, result[channel * r.channel]);
    }
    if (!motion_gradient) return;
    A by_x = 0, by_y = 0, by_importance = 0;
    for (int k = 0; k < 4; ++k) {
        if (at_gradient[k] < 0) continue;
        const int dx = k & 1, dy = k >> 1;
        by_x += (dx ? 1 : -1) * (dy ? corners.below : 1 - corners.below) * scale[k] * worth[k];
        by_y += (dy ? 1 : -1) * (dx ? corners.right : 1 - corners.right) * scale[k] * worth[k];
        if (mode == SOFTMAX) by_importance += corners.weight[k] * scale[k] * worth[k];
        if (mode == LINEAR && z >= 0) {
            const A divisor = total[corners.target[k]] > smallest ? total[corners.target[k]] : smallest;
            by_importance += corners.weight[k] / divisor * worth[k];
        }
    }
    A* motion = motion_gradient + own.lane * 3 * size + 3 * static_cast<Index>(image) * area + here;
    motion[0] = by_x;
    motion[area] = by_y;
    motion[2 * static_cast<Index>(area)] = by_importance;
}

// ---- What the host can launch: each kernel for each type ------------------------------------------------------------

#define PLAN_KERNELS(NAME, A, SMALLEST)                                                                                 \
    extern "C" __global__ void count_##NAME(const A* flow, int* counts, Index size, Index height, Index width)          \
    { count<A>(flow, counts, size, height, width); }                                                                    \
    extern "C" __global__ void fill_##NAME(                                                                             \
        const A* flow, int* next, int* source, A* weight, Index size, Index height, Index width)                        \
    { fill<A>(flow, next, source, weight, size, height, width); }                                                       \
    extern "C" __global__ void sort_lists_##NAME(const int* begin, int* source, A* weight, Index size)                  \
    { sort_lists<A>(begin, source, weight, size); }                                                                     \
    extern "C" __global__ void weigh_##NAME(                                                                            \
        const A* importance, const int* begin, const int* source, A* weight, A* peak, A* total, A* coverage,            \
        Index size, Index mode)                                                                                         \
    { weigh<A>(importance, begin, source, weight, peak, total, coverage, size, mode, SMALLEST); }

#define SPLAT_KERNELS(NAME, T, A, SMALLEST)                                                                             \
    extern "C" __global__ void splat_##NAME(                                                                            \
        const T* values, Index v0, Index v1, Index v2, Index v3, const int* begin, const int* source, const A* weight,  \
        T* output, Index o0, Index o1, Index o2, Index o3, Index size, Index channels, Index height, Index width,       \
        Index lanes, Index pixels_first)                                                                                \
    {                                                                                                                   \
        splat<T, A>(values, Strides{v0, v1, v2, v3}, begin, source, weight, output, Strides{o0, o1, o2, o3}, size,      \
                    channels, height, width, lanes, pixels_first);                                                      \
    }                                                                                                                   \
    extern "C" __global__ void splat_backward_##NAME(                                                                   \
        const T* gradient, Index g0, Index g1, Index g2, Index g3, const T* values, Index v0, Index v1, Index v2,       \
        Index v3, const T* output, Index o0, Index o1, Index o2, Index o3, const A* flow, const A* importance,          \
        const A* peak, const A* total, T* values_gradient, Index r0, Index r1, Index r2, Index r3, A* motion_gradient,  \
        Index size, Index channels, Index height, Index width, Index lanes, Index pixels_first, Index mode)             \
    {                                                                                                                   \
        splat_backward<T, A>(gradient, Strides{g0, g1, g2, g3}, values, Strides{v0, v1, v2, v3}, output,                \
                             Strides{o0, o1, o2, o3}, flow, importance, peak, total, values_gradient,                   \
                             Strides{r0, r1, r2, r3}, motion_gradient, size, channels, height, width, lanes,            \
                             pixels_first, mode, SMALLEST);                                                             \
    }

PLAN_KERNELS(float32, float, 1.17549435e-38f)
PLAN_KERNELS(float64, double, 2.2250738585072014e-308)
SPLAT_KERNELS(float32, float, float, 1.17549435e-38f)
SPLAT_KERNELS(float16, Half, float, 1.17549435e-38f)
SPLAT_KERNELS(bfloat16, BFloat16, float, 1.17549435e-38f)
SPLAT_KERNELS(float64, double, double, 2.2250738585072014e-308)
