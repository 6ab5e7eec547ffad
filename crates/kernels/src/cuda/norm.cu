// Batch-norm of images (N, C, plane): statistics, the line that each channel's numbers go through, and the gradients.
//
// Sums: block (c, part) sums over images part * span .. (part + 1) * span of channel c. Its 256 threads take the channel's
// numbers in turn, P neighbours at a time, in double; the block's sums are added in a tree. One thread per channel then
// adds the parts in their order. How many parts there are depends on the sizes alone, so the same input gives the same bits.
//
// Maps: every thread takes P neighbouring numbers, and then those a whole grid further on. P divides the plane, so that P
// neighbours share a channel.

// Calls visit(position / P) for the thread's share of channel blockIdx.x in part blockIdx.y.
template <int P, typename Visit>
__device__ __forceinline__ void each(unsigned images, unsigned channels, unsigned plane, unsigned span, Visit visit) {
    unsigned packs = plane / P;
    unsigned first = blockIdx.y * span;
    unsigned last = min(first + span, images);
    unsigned count = (last - first) * packs;
    for (unsigned i = threadIdx.x; i < count; i += SUMMING) {
        unsigned image = i / packs;
        visit(((first + image) * channels + blockIdx.x) * packs + (i - image * packs));
    }
}

__device__ __forceinline__ void keep(sums *partial, sums mine) {
    sums block = total(mine);
    if (threadIdx.x == 0) partial[blockIdx.x * gridDim.y + blockIdx.y] = block;
}

__device__ __forceinline__ sums joined(const sums *partial, unsigned channel, unsigned parts) {
    sums all = {0, 0};
    for (unsigned part = 0; part < parts; part++) {
        all.first += partial[channel * parts + part].first;
        all.second += partial[channel * parts + part].second;
    }
    return all;
}

// Sums of the numbers and of their squares. In double the squares lose nothing that matters to a variance even where the
// mean is thousands of times the deviation.
template <int P>
__device__ void norm_sums(const number *x, sums *partial, unsigned images, unsigned channels, unsigned plane, unsigned span) {
    sums mine = {0, 0};
    each<P>(images, channels, plane, span, [&](unsigned i) {
        pack<P> numbers = taken<P>(x, i);
        for (int p = 0; p < P; p++) {
            double value = wide(numbers.at[p]);
            mine.first += value;
            mine.second += value * value;
        }
    });
    keep(partial, mine);
}
BY_PACK(norm_sums, (const number *x, sums *partial, unsigned images, unsigned channels, unsigned plane, unsigned span),
        (x, partial, images, channels, plane, span))

// moments: mean and inverse deviation of each channel. rows: slope, intercept, mean and unbiased variance of each channel.
extern "C" __global__ void norm_moments(const sums *partial, unsigned parts, unsigned channels, double population,
                                        double epsilon, const real *gamma, const real *beta, double *moments, real *rows) {
    unsigned c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    sums all = joined(partial, c, parts);
    double mean = all.first / population;
    double variance = all.second / population - mean * mean;
    // Rounding alone makes it negative; a NaN stays one.
    if (variance < 0) variance = 0;
    double inverse = 1 / sqrt(variance + epsilon);
    double slope = gamma[c] * inverse;
    moments[c] = mean;
    moments[channels + c] = inverse;
    rows[c] = (real)slope;
    rows[channels + c] = (real)(beta[c] - mean * slope);
    rows[2 * channels + c] = (real)mean;
    rows[3 * channels + c] = (real)(variance * (population / (population - 1)));
}

// y = activation(slope * x + intercept + residual); a null slope counts as 1, a null intercept or residual as 0.
template <int P>
__device__ void norm_line(const number *x, const real *slope, const real *intercept, const number *residual, unsigned relu,
                          number *y, unsigned packs, unsigned channels, unsigned plane) {
    unsigned per_plane = plane / P;
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < packs; i += gridDim.x * blockDim.x) {
        unsigned c = i / per_plane % channels;
        real a = slope ? slope[c] : (real)1;
        real b = intercept ? intercept[c] : (real)0;
        pack<P> numbers = taken<P>(x, i);
        pack<P> others;
        if (residual) others = taken<P>(residual, i);
        for (int p = 0; p < P; p++) {
            real value = a * wide(numbers.at[p]) + b;
            if (residual) value += wide(others.at[p]);
            numbers.at[p] = narrow(relu ? floored(value) : value);
        }
        put<P>(y, i, numbers);
    }
}
BY_PACK(norm_line,
        (const number *x, const real *slope, const real *intercept, const number *residual, unsigned relu, number *y,
         unsigned packs, unsigned channels, unsigned plane),
        (x, slope, intercept, residual, relu, y, packs, channels, plane))

// Sums of the gradient before the activation (y is null where there is none), and of its products with x - mean; a null
// mean counts as 0, and without x there are no products.
template <int P>
__device__ void norm_gradient_sums(const number *x, const number *y, const number *gradient, const double *mean,
                                   sums *partial, unsigned images, unsigned channels, unsigned plane, unsigned span) {
    sums mine = {0, 0};
    double centre = mean ? mean[blockIdx.x] : 0;
    each<P>(images, channels, plane, span, [&](unsigned i) {
        pack<P> gradients = taken<P>(gradient, i);
        pack<P> results, numbers;
        if (y) results = taken<P>(y, i);
        if (x) numbers = taken<P>(x, i);
        for (int p = 0; p < P; p++) {
            real g = wide(gradients.at[p]);
            if (y) g = masked(wide(results.at[p]), g);
            mine.first += g;
            if (x) mine.second += g * (wide(numbers.at[p]) - centre);
        }
    });
    keep(partial, mine);
}
BY_PACK(norm_gradient_sums,
        (const number *x, const number *y, const number *gradient, const double *mean, sums *partial, unsigned images,
         unsigned channels, unsigned plane, unsigned span),
        (x, y, gradient, mean, partial, images, channels, plane, span))

// totals: for each channel the second sum, then for each channel the first.
extern "C" __global__ void norm_gradient_totals(const sums *partial, unsigned parts, unsigned channels, real *totals) {
    unsigned c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    sums all = joined(partial, c, parts);
    totals[c] = (real)all.second;
    totals[channels + c] = (real)all.first;
}

// rows: the gradients of gamma and beta, then what the gradient of x is made of: scale, slope and intercept.
extern "C" __global__ void norm_gradient_rows(const sums *partial, unsigned parts, unsigned channels, double population,
                                              const real *gamma, const double *moments, real *rows) {
    unsigned c = blockIdx.x * blockDim.x + threadIdx.x;
    if (c >= channels) return;
    sums all = joined(partial, c, parts);
    double mean = moments[c], inverse = moments[channels + c];
    double products = all.second * inverse;
    double scale = gamma[c] * inverse;
    double slope = -scale * inverse * products / population;
    rows[c] = (real)products;
    rows[channels + c] = (real)all.first;
    rows[2 * channels + c] = (real)scale;
    rows[3 * channels + c] = (real)slope;
    rows[4 * channels + c] = (real)(-scale * all.first / population - slope * mean);
}

// dx = scale * g + slope * x + intercept with g the gradient before the activation, which is also the residual's gradient.
// Without x the last two terms are left out; a null dx or residual is not asked for.
template <int P>
__device__ void norm_gradient(const number *x, const number *y, const number *gradient, const real *scale,
                              const real *slope, const real *intercept, number *dx, number *residual, unsigned packs,
                              unsigned channels, unsigned plane) {
    unsigned per_plane = plane / P;
    for (unsigned i = blockIdx.x * blockDim.x + threadIdx.x; i < packs; i += gridDim.x * blockDim.x) {
        unsigned c = i / per_plane % channels;
        pack<P> gradients = taken<P>(gradient, i);
        pack<P> results, numbers;
        if (y) results = taken<P>(y, i);
        if (x && dx) numbers = taken<P>(x, i);
        for (int p = 0; p < P; p++) {
            real g = wide(gradients.at[p]);
            if (y) g = masked(wide(results.at[p]), g);
            gradients.at[p] = narrow(g);
            if (dx) {
                real of_x = scale[c] * g;
                if (x) of_x += slope[c] * wide(numbers.at[p]) + intercept[c];
                numbers.at[p] = narrow(of_x);
            }
        }
        if (residual) put<P>(residual, i, gradients);
        if (dx) put<P>(dx, i, numbers);
    }
}
BY_PACK(norm_gradient,
        (const number *x, const number *y, const number *gradient, const real *scale, const real *slope,
         const real *intercept, number *dx, number *residual, unsigned packs, unsigned channels, unsigned plane),
        (x, y, gradient, scale, slope, intercept, dx, residual, packs, channels, plane))

// A convolution with the batch-norm after it folded in: block o makes filter o's weights and shift, its threads taking the
// weights in turn. A null bias counts as 0.
extern "C" __global__ void norm_fold(const real *weight, const real *bias, const real *gamma, const real *beta,
                                     const real *mean, const real *variance, double epsilon, number *folded, real *shift,
                                     unsigned filter) {
    unsigned o = blockIdx.x;
    double scale = gamma[o] / sqrt((double)variance[o] + epsilon);
    for (unsigned i = threadIdx.x; i < filter; i += blockDim.x) {
        folded[o * filter + i] = narrow((real)(weight[o * filter + i] * scale));
    }
    if (threadIdx.x == 0) shift[o] = (real)(beta[o] + ((bias ? (double)bias[o] : 0) - mean[o]) * scale);
}
