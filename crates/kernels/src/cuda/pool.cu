// Pooling of images (N, C, H, W): one thread per number of the result, then the one a whole grid further on.
//
// The gradients are gathered, not scattered: a thread owns one pixel of the input and adds what the windows that cover it send
// there, in row-major order. So no two threads add to the same number, and the order of the additions is fixed.

struct pooling {
    unsigned height, width, out_height, out_width, kernel, stride, padding;
};

struct range {
    unsigned first, end;
};

// The pixels that window `o` covers along an axis of `size` pixels.
__device__ __forceinline__ range covered(pooling s, unsigned o, unsigned size) {
    unsigned start = o * s.stride;
    unsigned first = start > s.padding ? start - s.padding : 0;
    return {first, min(start + s.kernel - s.padding, size)};
}

// The windows that cover pixel `i` along an axis with `outputs` windows.
__device__ __forceinline__ range covering(pooling s, unsigned i, unsigned outputs) {
    unsigned last = (i + s.padding) / s.stride;
    unsigned first = i + s.padding < s.kernel ? 0 : (i + s.padding - s.kernel) / s.stride + 1;
    return {first, min(last + 1, outputs)};
}

// Position in the plane of the first maximum of a window; a NaN counts as the largest number.
__device__ __forceinline__ unsigned first_maximum(const number *plane, pooling s, range rows, range columns) {
    unsigned best = rows.first * s.width + columns.first;
    real largest = wide(plane[best]);
    for (unsigned row = rows.first; row < rows.end; row++) {
        for (unsigned column = columns.first; column < columns.end; column++) {
            unsigned i = row * s.width + column;
            real x = wide(plane[i]);
            if (x > largest || (x != x && largest == largest)) {
                best = i;
                largest = x;
            }
        }
    }
    return best;
}

extern "C" __global__ void pool_max(const number *x, number *y, unsigned count, pooling s) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        unsigned column = i % s.out_width, row = i / s.out_width % s.out_height;
        const number *plane = x + i / s.out_width / s.out_height * (s.height * s.width);
        y[i] = plane[first_maximum(plane, s, covered(s, row, s.height), covered(s, column, s.width))];
    }
}

extern "C" __global__ void pool_max_gradient(const number *x, const number *gradient, number *dx, unsigned count, pooling s) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        unsigned column = i % s.width, row = i / s.width % s.height, image = i / s.width / s.height;
        const number *plane = x + image * (s.height * s.width);
        const number *gradients = gradient + image * (s.out_height * s.out_width);
        range rows = covering(s, row, s.out_height), columns = covering(s, column, s.out_width);
        real sum = 0;
        for (unsigned oy = rows.first; oy < rows.end; oy++) {
            for (unsigned ox = columns.first; ox < columns.end; ox++) {
                unsigned best = first_maximum(plane, s, covered(s, oy, s.height), covered(s, ox, s.width));
                if (best == row * s.width + column) sum += wide(gradients[oy * s.out_width + ox]);
            }
        }
        dx[i] = narrow(sum);
    }
}

extern "C" __global__ void pool_mean(const number *x, number *y, unsigned count, pooling s) {
    real share = (real)1 / (s.kernel * s.kernel);
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        const number *plane = x + i / s.out_width / s.out_height * (s.height * s.width);
        range rows = covered(s, i / s.out_width % s.out_height, s.height), columns = covered(s, i % s.out_width, s.width);
        real sum = 0;
        for (unsigned row = rows.first; row < rows.end; row++) {
            for (unsigned column = columns.first; column < columns.end; column++) sum += wide(plane[row * s.width + column]);
        }
        y[i] = narrow(sum * share);
    }
}

extern "C" __global__ void pool_mean_gradient(const number *gradient, number *dx, unsigned count, pooling s) {
    real share = (real)1 / (s.kernel * s.kernel);
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        const number *gradients = gradient + i / s.width / s.height * (s.out_height * s.out_width);
        range rows = covering(s, i / s.width % s.height, s.out_height), columns = covering(s, i % s.width, s.out_width);
        real sum = 0;
        for (unsigned oy = rows.first; oy < rows.end; oy++) {
            for (unsigned ox = columns.first; ox < columns.end; ox++) sum += wide(gradients[oy * s.out_width + ox]) * share;
        }
        dx[i] = narrow(sum);
    }
}
