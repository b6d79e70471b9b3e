// Coarse-to-fine variational optical flow for NVIDIA GPUs: a batch of pairs at once, with red-black relaxation. See
// data/flow/coarse2fine/__init__.py for the algorithm and data/flow/coarse2fine/cuda.py for how these kernels are launched. Plain C++ but
// for a few words of CUDA and without headers, so that NVRTC needs none and the tests can compile the same source for
// the processor.
//
// Every argument is 64 bits wide: a pointer, an integer, or the bits of a double. Pictures and features are planar
// [picture, channel, H, W]; flow and its increment are [pair, H, W, 2], x before y; the linear system is six planes
// [6, pair, H, W]. A source may serve all pairs: its pictures are source_step pictures apart, 0 or 1. Shapes are
// arguments, so one compilation serves them all, but no picture may have 2^31 values.

typedef long long Index;

#define UNROLL _Pragma("unroll")

const float OMEGA = 1.8f;
const float EPSILON = 1e-6f;
const float TWELFTH = 1.0f / 12.0f;
const float TARGET_SHARE = 0.6f;  // of the target in the picture whose derivatives are taken; the source has the rest

struct alignas(8) Vector { float u, v; };

// ---- Helpers ----------------------------------------------------------------------------------------------------------

__device__ inline Index thread_index()
{
    return static_cast<Index>(blockIdx.x) * blockDim.x + threadIdx.x;
}

__device__ inline double number(Index word)
{
    union { Index word; double value; } bits;
    bits.word = word;
    return bits.value;
}

__device__ inline int clamp(int i, int size)
{
    return i < 0 ? 0 : i < size ? i : size - 1;
}

// Bilinear taps of an axis: position (i + 1) / rate - 1, truncated, its fraction and both indices clamped.
struct Position {
    int first, second;
    float fraction;

    __device__ Position(int i, int source_size, double rate)
    {
        const double position = (i + 1) / rate - 1.0;
        const int whole = static_cast<int>(position);  // towards zero
        const double rest = position - whole;
        fraction = static_cast<float>(rest < 0.0 ? 0.0 : rest < 1.0 ? rest : 1.0);
        first = clamp(whole, source_size);
        second = clamp(whole + 1, source_size);
    }
};

// [.02, .11, .74, .11, .02]. Explicitly fused, so that every kernel rounds the same picture to the same numbers and a
// source that equals its target leaves a difference of exactly 0.
__device__ inline float smooth5(float a, float b, float c, float d, float e)
{
    return fmaf(c, 0.74f, fmaf(b + d, 0.11f, (a + e) * 0.02f));
}

__device__ inline float derivative5(float a, float b, float d, float e)
{
    return TWELFTH * (a - e + 8.0f * (d - b));
}

// ---- Pictures: once a pair ----------------------------------------------------------------------------------------------

// images [picture, H, W, channels] -> pictures [picture, planes, H, W]; one plane of three channels is their brightness.
extern "C" __global__ void planar(
    const float* images, float* pictures, Index size, Index area, Index channels, Index planes)
{
    const Index pixel = thread_index();
    if (pixel >= size) return;
    const float* own = images + pixel * channels;
    float* to = pictures + pixel / area * planes * area + pixel % area;
    if (planes == channels) {
        for (int c = 0; c < planes; ++c) to[c * area] = own[c];
    } else {
        *to = 0.299f * own[0] + 0.587f * own[1] + 0.114f * own[2];
    }
}

// The next smaller pictures: blurred by taps[|k|], k = -radius .. radius, and resized, in one go. Both are linear, so
// the pixels around the two columns (rows) that are mixed get the mixture of their taps; taps[radius + 1] is 0.
extern "C" __global__ void shrink(
    const float* pictures, const float* taps, float* smaller, Index size, Index height, Index width,
    Index source_height, Index source_width, Index radius, Index rate)
{
    const Index pixel = thread_index(), area = height * width, plane = pixel / area;
    if (pixel >= size) return;
    const int inside = static_cast<int>(pixel - plane * area), y = inside / static_cast<int>(width);
    const int reach = static_cast<int>(radius), rows = static_cast<int>(source_height);
    const int columns = static_cast<int>(source_width);
    Position across(inside - y * static_cast<int>(width), columns, number(rate)), down(y, rows, number(rate));
    if (across.second == across.first) across.fraction = 0;
    if (down.second == down.first) down.fraction = 0;
    const float* picture = pictures + plane * rows * columns;
    float sum = 0;
    for (int j = -reach; j <= reach + 1; ++j) {
        const float* row = picture + clamp(down.first + j, rows) * columns;
        float row_sum = 0;
        for (int i = -reach; i <= reach + 1; ++i) {
            const float tap = taps[i < 0 ? -i : i], next = taps[i < 1 ? 1 - i : i - 1];
            row_sum += (tap + across.fraction * (next - tap)) * row[clamp(across.first + i, columns)];
        }
        const float tap = taps[j < 0 ? -j : j], next = taps[j < 1 ? 1 - j : j - 1];
        sum += (tap + down.fraction * (next - tap)) * row_sum;
    }
    smaller[pixel] = sum;
}

// Y, its derivatives along x and y, and of RGB pictures G - R and G - B.
struct Brightness {
    const float* picture;
    int height, width, planes;

    __device__ float operator()(int y, int x) const
    {
        const float* own = picture + clamp(y, height) * width + clamp(x, width);
        const int area = height * width;
        return planes == 1 ? *own : 0.299f * own[0] + 0.587f * own[area] + 0.114f * own[2 * area];
    }
};

extern "C" __global__ void features(
    const float* pictures, float* out, Index size, Index height, Index width, Index planes)
{
    const Index pixel = thread_index(), area = height * width, image = pixel / area;
    if (pixel >= size) return;
    const int inside = static_cast<int>(pixel - image * area);
    const int y = inside / static_cast<int>(width), x = inside - y * static_cast<int>(width);
    const float* picture = pictures + image * planes * area;
    const Brightness at = {picture, static_cast<int>(height), static_cast<int>(width), static_cast<int>(planes)};
    float* to = out + image * (planes == 3 ? 5 : 3) * area + inside;
    to[0] = at(y, x);
    to[area] = derivative5(at(y, x - 2), at(y, x - 1), at(y, x + 1), at(y, x + 2));
    to[2 * area] = derivative5(at(y - 2, x), at(y - 1, x), at(y + 1, x), at(y + 2, x));
    if (planes == 1) return;
    to[3 * area] = picture[area + inside] - picture[inside];
    to[4 * area] = picture[area + inside] - picture[2 * area + inside];
}

// A source's smoothed features, horizontally then vertically; size counts the values of all planes.
extern "C" __global__ void smooth(const float* features, float* out, Index size, Index height, Index width)
{
    const Index pixel = thread_index(), area = height * width, plane = pixel / area;
    if (pixel >= size) return;
    const int columns = static_cast<int>(width), inside = static_cast<int>(pixel - plane * area);
    const int y = inside / columns, x = inside - y * columns;
    float rows[5];
    UNROLL
    for (int j = 0; j < 5; ++j) {
        const float* row = features + plane * area + clamp(y + j - 2, static_cast<int>(height)) * columns;
        rows[j] = smooth5(
            row[clamp(x - 2, columns)], row[clamp(x - 1, columns)], row[x], row[clamp(x + 1, columns)],
            row[clamp(x + 2, columns)]);
    }
    out[pixel] = smooth5(rows[0], rows[1], rows[2], rows[3], rows[4]);
}

// ---- Flow of a finer level ----------------------------------------------------------------------------------------------

// Bilinear, each axis at the ratio of the sizes; vectors are multiplied by gain. size counts the pixels of all pairs.
extern "C" __global__ void upsample(
    const Vector* coarse, Vector* fine, Index size, Index height, Index width, Index coarse_height, Index coarse_width,
    Index gain)
{
    const Index pixel = thread_index(), area = height * width, pair = pixel / area;
    if (pixel >= size) return;
    const int inside = static_cast<int>(pixel - pair * area), y = inside / static_cast<int>(width);
    const int rows = static_cast<int>(coarse_height), columns = static_cast<int>(coarse_width);
    const int x = inside - y * static_cast<int>(width);
    const Position across(x, columns, static_cast<double>(width) / columns);
    const Position down(y, rows, static_cast<double>(height) / rows);
    const Vector* above = coarse + (pair * rows + down.first) * columns;
    const Vector* below = coarse + (pair * rows + down.second) * columns;
    const Vector a = above[across.first], b = above[across.second], c = below[across.first], d = below[across.second];
    const float scale = static_cast<float>(number(gain));
    const float left_u = a.u + down.fraction * (c.u - a.u), right_u = b.u + down.fraction * (d.u - b.u);
    const float left_v = a.v + down.fraction * (c.v - a.v), right_v = b.v + down.fraction * (d.v - b.v);
    fine[pixel].u = scale * (left_u + across.fraction * (right_u - left_u));
    fine[pixel].v = scale * (left_v + across.fraction * (right_v - left_v));
}

// ---- The linear system: once an iteration -------------------------------------------------------------------------------

const int TILE_WIDTH = 32, TILE_HEIGHT = 16;  // of a block of `linearise`; data.flow.coarse2fine.cuda has the same numbers
const int MOST_CHANNELS = 5;
const int WARPED_WIDTH = TILE_WIDTH + 8, WARPED_HEIGHT = TILE_HEIGHT + 8;
const int SMOOTH_WIDTH = TILE_WIDTH + 4, SMOOTH_HEIGHT = TILE_HEIGHT + 4;

// Flow and increment of one pair; the increment may be missing, which is one of 0.
struct Motion {
    const Vector* flow;
    const Vector* increment;
    int height, width;

    __device__ Vector total(int at) const
    {
        Vector sum = flow[at];
        if (increment) {
            sum.u += increment[at].u;
            sum.v += increment[at].v;
        }
        return sum;
    }

    // alpha / 2 / sqrt(|grad u|^2 + |grad v|^2 + epsilon); forward differences, 0 at the last column and row.
    __device__ float smoothness(int y, int x, float alpha) const
    {
        const int at = y * width + x;
        const Vector here = total(at);
        float sum = EPSILON;
        if (x < width - 1) {
            const Vector next = total(at + 1);
            sum += (next.u - here.u) * (next.u - here.u) + (next.v - here.v) * (next.v - here.v);
        }
        if (y < height - 1) {
            const Vector next = total(at + width);
            sum += (next.u - here.u) * (next.u - here.u) + (next.v - here.v) * (next.v - here.v);
        }
        return 0.5f * alpha * rsqrtf(sum);
    }
};

// Bilinear weights of a target at (x + u, y + v); outside of the picture, and for what is no number, there are none.
struct Landing {
    int at, right, below;
    float across, down;
    bool inside;

    __device__ Landing(int y, int x, const Vector& flow, int height, int width)
    {
        const float column = x + flow.u, row = y + flow.v;
        inside = column >= 0 && column <= width - 1 && row >= 0 && row <= height - 1;
        const int whole_column = inside ? static_cast<int>(column) : 0, whole_row = inside ? static_cast<int>(row) : 0;
        at = whole_row * width + whole_column;
        right = whole_column < width - 1;
        below = whole_row < height - 1 ? width : 0;
        across = inside ? column - whole_column : 0;
        down = inside ? row - whole_row : 0;
    }

    __device__ float of(const float* target) const
    {
        const float* corner = target + at;
        const float top = corner[0] + across * (corner[right] - corner[0]);
        const float bottom = corner[below] + across * (corner[below + right] - corner[below]);
        return top + down * (bottom - top);
    }
};

// Warp the target, smooth it, differentiate its mixture with the source, and fill the planes of the system: smoothness
// weight alpha * phi, both right-hand sides, a12, and omega over each diagonal. A block makes one tile; what it needs
// of the pixels around stays in shared memory. targets, source and smoothed are [., channels, H, W].
extern "C" __global__ void __launch_bounds__(256) linearise(
    const float* targets, const float* source, const float* smoothed, const Vector* flow, const Vector* increment,
    float* system, Index pairs, Index height, Index width, Index channels, Index source_step, Index alpha_bits)
{
    __shared__ float warped[MOST_CHANNELS][WARPED_HEIGHT * WARPED_WIDTH];  // later the mixture
    __shared__ float rows[MOST_CHANNELS][WARPED_HEIGHT * SMOOTH_WIDTH];  // smoothed horizontally
    __shared__ float change[MOST_CHANNELS][TILE_HEIGHT * TILE_WIDTH];  // target - source, both smoothed
    const int W = static_cast<int>(width), H = static_cast<int>(height), area = H * W;
    const int depth = static_cast<int>(channels), threads = static_cast<int>(blockDim.x);
    const int tiles_across = (W + TILE_WIDTH - 1) / TILE_WIDTH, tiles = (H + TILE_HEIGHT - 1) / TILE_HEIGHT * tiles_across;
    const int pair = static_cast<int>(blockIdx.x) / tiles, tile = static_cast<int>(blockIdx.x) - pair * tiles;
    const int y0 = tile / tiles_across * TILE_HEIGHT, x0 = tile % tiles_across * TILE_WIDTH;
    const Index own_source = pair * source_step * depth * area;
    const Motion motion = {
        flow + static_cast<Index>(pair) * area, increment ? increment + static_cast<Index>(pair) * area : nullptr, H, W};
    targets += static_cast<Index>(pair) * depth * area;
    source += own_source;
    smoothed += own_source;

    for (int i = threadIdx.x; i < WARPED_HEIGHT * WARPED_WIDTH; i += threads) {
        const int y = clamp(y0 - 4 + i / WARPED_WIDTH, H), x = clamp(x0 - 4 + i % WARPED_WIDTH, W);
        const Landing landing(y, x, motion.flow[y * W + x], H, W);
        for (int c = 0; c < depth; ++c) {
            warped[c][i] = landing.inside ? landing.of(targets + c * area) : source[c * area + y * W + x];
        }
    }
    __syncthreads();
    // Beyond the picture smoothed features repeat, so there a cell is centred on the nearest pixel of the picture.
    for (int i = threadIdx.x; i < WARPED_HEIGHT * SMOOTH_WIDTH; i += threads) {
        const int centre = i / SMOOTH_WIDTH * WARPED_WIDTH + clamp(x0 - 2 + i % SMOOTH_WIDTH, W) - (x0 - 4);
        for (int c = 0; c < depth; ++c) {
            const float* at = warped[c] + centre;
            rows[c][i] = smooth5(at[-2], at[-1], at[0], at[1], at[2]);
        }
    }
    __syncthreads();
    for (int i = threadIdx.x; i < SMOOTH_HEIGHT * SMOOTH_WIDTH; i += threads) {
        const int row = i / SMOOTH_WIDTH, column = i % SMOOTH_WIDTH;
        const int y = clamp(y0 - 2 + row, H), x = clamp(x0 - 2 + column, W);
        const int tile_y = row - 2, tile_x = column - 2;
        const bool within = tile_y >= 0 && tile_y < TILE_HEIGHT && tile_x >= 0 && tile_x < TILE_WIDTH;
        for (int c = 0; c < depth; ++c) {
            const float* at = rows[c] + (y - (y0 - 4)) * SMOOTH_WIDTH + column;
            const float target = smooth5(
                at[-2 * SMOOTH_WIDTH], at[-SMOOTH_WIDTH], at[0], at[SMOOTH_WIDTH], at[2 * SMOOTH_WIDTH]);
            const float of_source = smoothed[c * area + y * W + x], difference = target - of_source;
            warped[c][i] = of_source + TARGET_SHARE * difference;
            if (within) change[c][tile_y * TILE_WIDTH + tile_x] = difference;
        }
    }
    __syncthreads();

    const float alpha = static_cast<float>(number(alpha_bits)), half = 0.5f / depth;
    const Index plane = pairs * area;
    for (int i = threadIdx.x; i < TILE_HEIGHT * TILE_WIDTH; i += threads) {
        const int y = y0 + i / TILE_WIDTH, x = x0 + i % TILE_WIDTH, at = y * W + x;
        if (y >= H || x >= W) continue;
        const Vector step = motion.increment ? motion.increment[at] : Vector{0, 0};
        float a11 = 0, a22 = 0, a12 = 0, b1 = 0, b2 = 0;
        for (int c = 0; c < depth; ++c) {
            const float* mixed = warped[c] + (i / TILE_WIDTH + 2) * SMOOTH_WIDTH + i % TILE_WIDTH + 2;
            const float gradient_x = derivative5(mixed[-2], mixed[-1], mixed[1], mixed[2]);
            const float gradient_y = derivative5(
                mixed[-2 * SMOOTH_WIDTH], mixed[-SMOOTH_WIDTH], mixed[SMOOTH_WIDTH], mixed[2 * SMOOTH_WIDTH]);
            const float residual = change[c][i] + gradient_x * step.u + gradient_y * step.v;
            const float weight = half * rsqrtf(residual * residual + EPSILON);
            a11 += weight * gradient_x * gradient_x;
            a22 += weight * gradient_y * gradient_y;
            a12 += weight * gradient_x * gradient_y;
            b1 -= weight * gradient_x * change[c][i];
            b2 -= weight * gradient_y * change[c][i];
        }
        const Vector here = motion.flow[at];
        const float weight = motion.smoothness(y, x, alpha);
        float diagonal = 0.05f * alpha;
        for (int side = 0; side < 4; ++side) {  // right, below, left, above
            const bool there = side == 0 ? x < W - 1 : side == 1 ? y < H - 1 : side == 2 ? x > 0 : y > 0;
            if (!there) continue;
            const int next = at + (side == 0 ? 1 : side == 1 ? W : side == 2 ? -1 : -W);
            const float between = side < 2 ? weight : motion.smoothness(y - (side == 3), x - (side == 2), alpha);
            diagonal += between;
            b1 += between * (motion.flow[next].u - here.u);
            b2 += between * (motion.flow[next].v - here.v);
        }
        float* out = system + static_cast<Index>(pair) * area + at;
        out[0] = weight;
        out[plane] = b1;
        out[2 * plane] = b2;
        out[3 * plane] = a12;
        out[4 * plane] = OMEGA / (a11 + diagonal);
        out[5 * plane] = OMEGA / (a22 + diagonal);
    }
}

// ---- Relaxation ---------------------------------------------------------------------------------------------------------

// Several sweeps of successive over-relaxation, each the red pixels (x + y even) and then the black ones, u before v.
// A block relaxes a region 64 columns wide that a warp's lanes share by columns 2i and 2i + 1; a warp has four rows, so
// a thread keeps eight pixels, their part of the system included, in registers, and meets its neighbours in shared
// memory. What lies outside the region is unknown, which makes one more ring of pixels wrong each half-sweep: regions
// overlap by twice the halo, and a block writes only what no wrong value can have reached.

const int LANES = 32, OWN_ROWS = 4, MOST_ROWS = 64;  // data.flow.coarse2fine.regions has the same numbers

struct Pixels {
    Vector value[OWN_ROWS][2];
    float weight[OWN_ROWS][2], right_u[OWN_ROWS][2], right_v[OWN_ROWS][2], cross[OWN_ROWS][2];
    float scale_u[OWN_ROWS][2], scale_v[OWN_ROWS][2];
    float weight_left[OWN_ROWS], weight_above[2];  // of the pixels left of and above these
};

struct Region {
    Vector values[2][MOST_ROWS + 2][LANES + 2];  // even columns, odd columns; a ring of zeros around
};

template <int COLOUR> __device__ inline void half_sweep(Pixels& own, Region& region, int row, int lane)
{
    UNROLL
    for (int r = 0; r < OWN_ROWS; ++r) {
        const int s = (r + COLOUR) & 1;  // the column of this colour
        const Vector beside = region.values[1 - s][row + r][s ? lane + 1 : lane - 1];
        const Vector left = s ? own.value[r][0] : beside, right = s ? beside : own.value[r][1];
        const Vector above = r > 0 ? own.value[r > 0 ? r - 1 : 0][s] : region.values[s][row - 1][lane];
        const Vector below =
            r < OWN_ROWS - 1 ? own.value[r < OWN_ROWS - 1 ? r + 1 : r][s] : region.values[s][row + OWN_ROWS][lane];
        const float weight = own.weight[r][s], weight_left = s ? own.weight[r][0] : own.weight_left[r];
        const float weight_above = r > 0 ? own.weight[r > 0 ? r - 1 : 0][s] : own.weight_above[s];
        const float sum_u = own.right_u[r][s] + weight * (right.u + below.u) + weight_left * left.u + weight_above * above.u;
        const float sum_v = own.right_v[r][s] + weight * (right.v + below.v) + weight_left * left.v + weight_above * above.v;
        Vector& value = own.value[r][s];
        value.u = (1.0f - OMEGA) * value.u + own.scale_u[r][s] * (sum_u - own.cross[r][s] * value.v);
        value.v = (1.0f - OMEGA) * value.v + own.scale_v[r][s] * (sum_v - own.cross[r][s] * value.u);
        region.values[s][row + r][lane] = value;
    }
}

// Regions start step_y rows and step_x columns apart, both even, so that a pixel has one colour in all of them; the
// block's threads say how high they are. before may be missing, which is an increment of 0. The result goes to after,
// or where that is missing is added to the flow.
extern "C" __global__ void __launch_bounds__(512) relax(
    const float* __restrict__ system, const Vector* __restrict__ before, Vector* __restrict__ after,
    Vector* __restrict__ flow, Index pairs, Index height, Index width, Index regions_down, Index regions_across,
    Index step_y, Index step_x, Index halo, Index sweeps)
{
    __shared__ Region region;
    const int W = static_cast<int>(width), H = static_cast<int>(height), count = static_cast<int>(regions_across);
    const int regions = static_cast<int>(regions_down) * count, pair = static_cast<int>(blockIdx.x) / regions;
    const int number_down = static_cast<int>(blockIdx.x) % regions / count;
    const int number_across = static_cast<int>(blockIdx.x) % regions % count;
    const int lane = static_cast<int>(threadIdx.x) % LANES, own_row = static_cast<int>(threadIdx.x) / LANES * OWN_ROWS;
    const int height_here = static_cast<int>(blockDim.x) / LANES * OWN_ROWS;
    const int x0 = number_across * static_cast<int>(step_x) + 2 * lane;
    const int y0 = number_down * static_cast<int>(step_y) + own_row;
    const Index plane = pairs * height * width, base = pair * height * width;
    Pixels own;

    UNROLL
    for (int r = 0; r < OWN_ROWS; ++r) {
        const int y = y0 + r;
        const Index row = base + static_cast<Index>(y) * W;
        UNROLL
        for (int s = 0; s < 2; ++s) {
            const int x = x0 + s;
            const bool there = y < H && x < W;
            const float* at = system + row + x;
            own.weight[r][s] = there ? at[0] : 0;
            own.right_u[r][s] = there ? at[plane] : 0;
            own.right_v[r][s] = there ? at[2 * plane] : 0;
            own.cross[r][s] = there ? at[3 * plane] : 0;
            own.scale_u[r][s] = there ? at[4 * plane] : 0;
            own.scale_v[r][s] = there ? at[5 * plane] : 0;
            own.value[r][s] = there && before ? before[row + x] : Vector{0, 0};
            region.values[s][own_row + 1 + r][lane + 1] = own.value[r][s];
            if (r == 0) own.weight_above[s] = there && y > 0 ? at[-W] : 0;
            if (lane == 0) region.values[s][own_row + 1 + r][0] = Vector{0, 0};
            if (lane == LANES - 1) region.values[s][own_row + 1 + r][LANES + 1] = Vector{0, 0};
        }
        own.weight_left[r] = y < H && x0 < W && x0 > 0 ? system[row + x0 - 1] : 0;
    }
    UNROLL
    for (int s = 0; s < 2; ++s) {
        if (own_row == 0) region.values[s][0][lane + 1] = Vector{0, 0};
        if (own_row == height_here - OWN_ROWS) region.values[s][height_here + 1][lane + 1] = Vector{0, 0};
    }
    __syncthreads();
    for (int sweep = 0; sweep < sweeps; ++sweep) {
        half_sweep<0>(own, region, own_row + 1, lane + 1);
        __syncthreads();
        half_sweep<1>(own, region, own_row + 1, lane + 1);
        __syncthreads();
    }

    const int top = number_down ? static_cast<int>(halo) : 0, left = number_across ? static_cast<int>(halo) : 0;
    const int bottom = height_here - (number_down < regions_down - 1 ? static_cast<int>(halo) : 0);
    const int end = 2 * LANES - (number_across < count - 1 ? static_cast<int>(halo) : 0);
    UNROLL
    for (int r = 0; r < OWN_ROWS; ++r) {
        UNROLL
        for (int s = 0; s < 2; ++s) {
            const int y = y0 + r, x = x0 + s, row = own_row + r, column = 2 * lane + s;
            if (row < top || row >= bottom || column < left || column >= end || y >= H || x >= W) continue;
            const Index at = base + static_cast<Index>(y) * W + x;
            if (after) {
                after[at] = own.value[r][s];
            } else {
                flow[at].u += own.value[r][s].u;
                flow[at].v += own.value[r][s].v;
            }
        }
    }
}
