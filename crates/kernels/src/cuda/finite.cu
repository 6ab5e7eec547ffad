// The search for infinities and NaN: one thread per number, then the one a whole grid further on. Whoever finds one marks its
// tensor's flag; all write the same, so it does not matter who is last.

extern "C" __global__ void mark_not_finite(const number *x, unsigned count, float *flags, unsigned tensor) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        real value = wide(x[i]);
        // What is finite differs from itself by 0, everything else by NaN.
        if (!(value - value == 0)) flags[tensor] = 1;
    }
}
