// ReLU: every thread takes P neighbouring numbers, and then those a whole grid further on.

template <int P> __device__ void relu(const number *x, number *y, unsigned packs) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < packs; i += gridDim.x * blockDim.x) {
        pack<P> numbers = taken<P>(x, i);
        for (int p = 0; p < P; p++) numbers.at[p] = narrow(floored(wide(numbers.at[p])));
        put<P>(y, i, numbers);
    }
}
BY_PACK(relu, (const number *x, number *y, unsigned packs), (x, y, packs))

template <int P> __device__ void relu_gradient(const number *y, const number *gradient, number *dx, unsigned packs) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < packs; i += gridDim.x * blockDim.x) {
        pack<P> results = taken<P>(y, i);
        pack<P> gradients = taken<P>(gradient, i);
        for (int p = 0; p < P; p++) gradients.at[p] = narrow(masked(wide(results.at[p]), wide(gradients.at[p])));
        put<P>(dx, i, gradients);
    }
}
BY_PACK(relu_gradient, (const number *y, const number *gradient, number *dx, unsigned packs), (y, gradient, dx, packs))
