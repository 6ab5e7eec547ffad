// Updates in place: one thread per number, then the one a whole grid further on.

// b = momentum * b + gradient + decay * w; w -= rate * b.
extern "C" __global__ void sgd(number *weight, number *buffer, const number *gradient, double rate, double momentum,
                               double decay, unsigned count) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        real w = wide(weight[i]);
        real b = (real)momentum * wide(buffer[i]) + (wide(gradient[i]) + (real)decay * w);
        buffer[i] = narrow(b);
        weight[i] = narrow(w - (real)rate * b);
    }
}

// a = keep * a + add * b.
extern "C" __global__ void blend(number *a, const number *b, double keep, double add, unsigned count) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        a[i] = narrow((real)keep * wide(a[i]) + (real)add * wide(b[i]));
    }
}
