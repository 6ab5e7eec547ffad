// Steps of an attack up a gradient, and back into the region where it may search. Images are (N, size).

__device__ __forceinline__ int sign(real x) { return (x > 0) - (x < 0); }

// In a box: z + step * sign(gradient), clamped to [lower, upper]; what is no number becomes `lower`. One thread per number,
// then the one a whole grid further on.
extern "C" __global__ void climb_box(const number *z, const number *gradient, const number *lower, const number *upper,
                                     double step, number *out, unsigned count) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        real moved = wide(z[i]) + (real)step * sign(wide(gradient[i]));
        real low = wide(lower[i]), high = wide(upper[i]);
        real raised = moved > low ? moved : low;
        out[i] = narrow(raised < high ? raised : high);
    }
}

// Half a pixel's last place may lead out of the ball: what is not exact is rounded towards `anchor`.
__device__ __forceinline__ number rounded_towards(double value, double anchor) {
#if NUMBER == 64
    return value;
#elif NUMBER == 32
    return value > anchor ? __double2float_rd(value) : __double2float_ru(value);
#else
    return narrow((float)value);
#endif
}

__device__ __forceinline__ double clamped(double x) { return x > 0 ? (x < 1 ? x : 1) : 0; }

// What brings a change of length `length` into a ball of radius `epsilon`, by one of three rules (`form`): 0 shrinks what is
// outside, 1 scales everything to the smaller of length and radius, 2 scales by at most 1.
__device__ __forceinline__ double shrinkage(unsigned form, double length, double epsilon) {
    if (form == 0) return length <= epsilon ? 1 : epsilon / (length + 1e-7);
    if (form == 1) return (length < epsilon ? length : epsilon) / (length + 1e-12);
    double scale = epsilon / (length + 1e-7);
    return scale < 1 ? scale : 1;
}

// In a Euclidean ball around `natural`, cut by the pixel box: block n moves image n by `step` along its gradient, in double.
// Its threads take the image's numbers in turn; lengths are added in a tree. A gradient that is not finite moves nothing.
extern "C" __global__ void climb_ball(const number *z, const number *gradient, const number *natural, double step,
                                      double guard, double epsilon, unsigned form, number *out, unsigned size) {
    unsigned first = blockIdx.x * size;
    z += first, gradient += first, natural += first, out += first;
    sums squares = {0, 0};
    for (unsigned i = threadIdx.x; i < size; i += SUMMING) {
        double g = wide(gradient[i]);
        squares.first += g * g;
    }
    double length = sqrt(total(squares).first);
    double scale = isfinite(length) ? step / (length + guard) : 0;
    // `total` keeps its result where the next one is made: nobody goes on before all have read it.
    __syncthreads();
    squares.first = 0;
    for (unsigned i = threadIdx.x; i < size; i += SUMMING) {
        double moved = wide(z[i]);
        if (scale != 0) moved = wide(narrow((real)(moved + wide(gradient[i]) * scale)));
        if (form == 2) moved = clamped(moved);
        double change = moved - wide(natural[i]);
        squares.first += change * change;
    }
    double shrunk = shrinkage(form, sqrt(total(squares).first), epsilon);
    for (unsigned i = threadIdx.x; i < size; i += SUMMING) {
        double moved = wide(z[i]);
        if (scale != 0) moved = wide(narrow((real)(moved + wide(gradient[i]) * scale)));
        if (form == 2) moved = clamped(moved);
        double x = wide(natural[i]);
        out[i] = rounded_towards(clamped(x + (moved - x) * shrunk), x);
    }
}
