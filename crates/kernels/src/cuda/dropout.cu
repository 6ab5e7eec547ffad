// Dropout: one thread per number, then the one a whole grid further on. Number i is kept where the i-th output of SplitMix64 from
// the state `key` is at least `limit`.

__device__ __forceinline__ unsigned long long mixed(unsigned long long z) {
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ull;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebull;
    return z ^ (z >> 31);
}

extern "C" __global__ void dropout(const number *x, number *y, unsigned long long key, unsigned long long limit, double scale,
                                   unsigned count) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        bool kept = mixed(key + (i + 1ull) * 0x9e3779b97f4a7c15ull) >= limit;
        // Chosen, not multiplied: 0 times infinity is no number.
        y[i] = narrow(kept ? wide(x[i]) * (real)scale : (real)0);
    }
}
