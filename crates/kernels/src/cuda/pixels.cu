// From pixels to the numbers that a network was trained on: one thread per number, then the one a whole grid further on.
// `constants` holds each channel's mean, then each channel's deviation.

extern "C" __global__ void normalize(const number *x, const real *constants, number *y, unsigned count, unsigned channels,
                                     unsigned plane) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        unsigned c = i / plane % channels;
        real value = wide(x[i]);
        // Asked this way, a NaN is kept.
        real clamped = value < 0 ? (real)0 : value > 1 ? (real)1 : value;
        y[i] = narrow((clamped - constants[c]) / constants[channels + c]);
    }
}

// The clamp passes the gradient on the closed interval [0, 1].
extern "C" __global__ void normalize_gradient(const number *x, const number *gradient, const real *constants, number *dx,
                                              unsigned count, unsigned channels, unsigned plane) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        real value = wide(x[i]);
        real deviation = constants[channels + i / plane % channels];
        dx[i] = narrow(value >= 0 && value <= 1 ? wide(gradient[i]) / deviation : (real)0);
    }
}
