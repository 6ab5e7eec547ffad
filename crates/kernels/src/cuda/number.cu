// What every kernel file begins with: the number type that the file is compiled for, and sums over a block.
//
// NUMBER is 16 (bfloat16), 32 (float) or 64 (double). Images, activations and their gradients are `number`; arithmetic and
// parameters are `real`, which for bfloat16 is float; sums over many numbers are double. Bfloat16 is converted by hand,
// because NVIDIA's header for it is not part of the run-time compiler.

#if NUMBER == 64
typedef double number;
typedef double real;
__device__ __forceinline__ real wide(number x) { return x; }
__device__ __forceinline__ number narrow(real x) { return x; }
#elif NUMBER == 32
typedef float number;
typedef float real;
__device__ __forceinline__ real wide(number x) { return x; }
__device__ __forceinline__ number narrow(real x) { return x; }
#else
struct number {
    unsigned short bits;
};
typedef float real;
__device__ __forceinline__ real wide(number x) { return __uint_as_float((unsigned)x.bits << 16); }
// To the nearest, ties to even; a NaN stays one.
__device__ __forceinline__ number narrow(real x) {
    unsigned bits = __float_as_uint(x);
    number y;
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        y.bits = (unsigned short)((bits >> 16) | 0x40u);
    } else {
        y.bits = (unsigned short)((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16);
    }
    return y;
}
#endif

// P neighbouring numbers, which are read and written at once.
template <int P> struct alignas(P * sizeof(number)) pack {
    number at[P];
};

template <int P> __device__ __forceinline__ pack<P> taken(const number *from, unsigned i) {
    return reinterpret_cast<const pack<P> *>(from)[i];
}

template <int P> __device__ __forceinline__ void put(number *to, unsigned i, pack<P> numbers) {
    reinterpret_cast<pack<P> *>(to)[i] = numbers;
}

// max(x, 0); a NaN stays one.
__device__ __forceinline__ real floored(real x) { return x <= 0 ? (real)0 : x; }

// The gradient before a ReLU whose result was `y`: none where that is 0.
__device__ __forceinline__ real masked(real y, real gradient) { return y <= 0 ? (real)0 : gradient; }

// Threads of a block that sums; the host launches as many.
#define SUMMING 256

struct sums {
    double first;
    double second;
};

// Both sums over the block, the same in every thread that asks thread 0: a tree in shared memory, so that the order of the
// additions is fixed by the thread numbers.
__device__ __forceinline__ sums total(sums mine) {
    __shared__ sums all[SUMMING];
    all[threadIdx.x] = mine;
    __syncthreads();
    for (unsigned half = SUMMING / 2; half > 0; half /= 2) {
        if (threadIdx.x < half) {
            all[threadIdx.x].first += all[threadIdx.x + half].first;
            all[threadIdx.x].second += all[threadIdx.x + half].second;
        }
        __syncthreads();
    }
    return all[0];
}

// One kernel per pack size under a name that the host can look up.
#define BY_PACK(name, parameters, arguments)                                                                                 \
    extern "C" __global__ void name##_1 parameters { name<1> arguments; }                                                    \
    extern "C" __global__ void name##_4 parameters { name<4> arguments; }
