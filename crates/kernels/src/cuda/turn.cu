// Filters (outputs, inputs, k, k) to (inputs, outputs, k, k), each turned by half a circle: one thread per number, then the one a
// whole grid further on.

extern "C" __global__ void turn(const number *weight, number *turned, unsigned count, unsigned outputs, unsigned inputs,
                                unsigned filter) {
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < count; i += gridDim.x * blockDim.x) {
        unsigned tap = i % filter;
        unsigned output = i / filter % outputs;
        unsigned input = i / filter / outputs;
        turned[i] = weight[(output * inputs + input) * filter + (filter - 1 - tap)];
    }
}
