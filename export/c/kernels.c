/* section: types */
/* The sum of products is computed in int32, the scaling of it in int64. */
typedef char int_has_32_bits[sizeof(int) >= 4 ? 1 : -1];
typedef char shifts_of_negative_numbers_round_down[((-3) >> 1) == -2 ? 1 : -1];

typedef struct {
    int32_t multiplier;
    int8_t shift;
} Rescale;

typedef struct {
    int height, width, channels;
} Map;

typedef struct {
    Map input, output;
    int kernel_height, kernel_width, stride_height, stride_width, dilation_height, dilation_width;
    int padding_top, padding_left, groups;
    int input_zero, output_zero, low, high;
    const int8_t *weights;      /* (outputs, kernel height, kernel width, inputs / groups) */
    const int32_t *bias;        /* (outputs) */
    const int32_t *multipliers; /* (outputs) */
    const int8_t *shifts;       /* (outputs) */
} Convolution;

/* section: rescale */
/* total * multiplier / 2^shift, rounded half up. */
static int64_t rescale(int64_t total, int32_t multiplier, int shift)
{
    return (total * multiplier + ((int64_t)1 << (shift - 1))) >> shift;
}

static int64_t clamp(int64_t value, int low, int high)
{
    return value < low ? low : value > high ? high : value;
}

/* section: normalise */
static void normalise(const uint8_t *pixels, int8_t *output, int count)
{
    for (int position = 0; position < count; position++) {
        for (int channel = 0; channel < 3; channel++) {
            output[3 * position + channel] = pixel_values[channel][pixels[3 * position + channel]];
        }
    }
}

/* section: convolve */
/* One output of a convolution before scaling; the place of the input may lie outside the map, where it is zero. */
static int32_t convolved(const Convolution *layer, const int8_t *input, int row, int column, int channel)
{
    const int share = layer->input.channels / layer->groups;
    const int first = channel / (layer->output.channels / layer->groups) * share;
    const int8_t *weights = layer->weights + channel * layer->kernel_height * layer->kernel_width * share;
    int32_t total = layer->bias[channel];
    for (int y = 0; y < layer->kernel_height; y++) {
        const int from = row * layer->stride_height + y * layer->dilation_height - layer->padding_top;
        if (from < 0 || from >= layer->input.height) {
            continue;
        }
        for (int x = 0; x < layer->kernel_width; x++) {
            const int at = column * layer->stride_width + x * layer->dilation_width - layer->padding_left;
            if (at < 0 || at >= layer->input.width) {
                continue;
            }
            const int8_t *values = input + (from * layer->input.width + at) * layer->input.channels + first;
            const int8_t *taps = weights + (y * layer->kernel_width + x) * share;
            for (int i = 0; i < share; i++) {
                total += (values[i] - layer->input_zero) * taps[i];
            }
        }
    }
    return total;
}

/* section: transpose */
/* One output of a transposed convolution: the inputs whose taps reach it. */
static int32_t transposed(const Convolution *layer, const int8_t *input, int row, int column, int channel)
{
    const int share = layer->input.channels / layer->groups;
    const int first = channel / (layer->output.channels / layer->groups) * share;
    const int8_t *weights = layer->weights + channel * layer->kernel_height * layer->kernel_width * share;
    int32_t total = layer->bias[channel];
    for (int y = 0; y < layer->kernel_height; y++) {
        const int down = row + layer->padding_top - y * layer->dilation_height;
        if (down < 0 || down % layer->stride_height != 0 || down / layer->stride_height >= layer->input.height) {
            continue;
        }
        for (int x = 0; x < layer->kernel_width; x++) {
            const int right = column + layer->padding_left - x * layer->dilation_width;
            if (right < 0 || right % layer->stride_width != 0 || right / layer->stride_width >= layer->input.width) {
                continue;
            }
            const int place = down / layer->stride_height * layer->input.width + right / layer->stride_width;
            const int8_t *values = input + place * layer->input.channels + first;
            const int8_t *taps = weights + (y * layer->kernel_width + x) * share;
            for (int i = 0; i < share; i++) {
                total += (values[i] - layer->input_zero) * taps[i];
            }
        }
    }
    return total;
}

/* section: convolution */
/* NETWORK_CONVOLUTION may name another function of the same arguments, such as one for a vector unit. */
#ifdef NETWORK_CONVOLUTION
void NETWORK_CONVOLUTION(const Convolution *layer, const int8_t *input, int8_t *output);
#else
#define NETWORK_CONVOLUTION convolution
static void convolution(const Convolution *layer, const int8_t *input, int8_t *output)
{
    for (int row = 0; row < layer->output.height; row++) {
        for (int column = 0; column < layer->output.width; column++) {
            for (int channel = 0; channel < layer->output.channels; channel++) {
                const int32_t total = convolved(layer, input, row, column, channel);
                const int64_t value = rescale(total, layer->multipliers[channel], layer->shifts[channel]);
                *output++ = (int8_t)clamp(value + layer->output_zero, layer->low, layer->high);
            }
        }
    }
}
#endif

/* section: transposed_convolution */
static void transposed_convolution(const Convolution *layer, const int8_t *input, int8_t *output)
{
    for (int row = 0; row < layer->output.height; row++) {
        for (int column = 0; column < layer->output.width; column++) {
            for (int channel = 0; channel < layer->output.channels; channel++) {
                const int32_t total = transposed(layer, input, row, column, channel);
                const int64_t value = rescale(total, layer->multipliers[channel], layer->shifts[channel]);
                *output++ = (int8_t)clamp(value + layer->output_zero, layer->low, layer->high);
            }
        }
    }
}

/* section: linear_scores */
static void linear_scores(const Convolution *layer, const int8_t *input, int16_t *scores)
{
    for (int channel = 0; channel < layer->output.channels; channel++) {
        const int32_t total = convolved(layer, input, 0, 0, channel);
        const int64_t value = rescale(total, layer->multipliers[channel], layer->shifts[channel]);
        scores[channel] = (int16_t)clamp(value, layer->low, layer->high);
    }
}

/* section: table */
/* Input and output may be the same place. */
static void table(const int8_t *results, const int8_t *input, int8_t *output, int count)
{
    for (int i = 0; i < count; i++) {
        output[i] = results[input[i] + 128];
    }
}

/* section: add */
typedef struct {
    int32_t first, second;
    int first_zero, second_zero, shift, zero, low, high;
} Add;

/* The output may lie where one of the inputs does. */
static void add(const Add *sum, const int8_t *first, const int8_t *second, int8_t *output, int count)
{
    const int32_t half = (int32_t)1 << (sum->shift - 1);
    for (int i = 0; i < count; i++) {
        const int32_t total = (first[i] - sum->first_zero) * sum->first + (second[i] - sum->second_zero) * sum->second;
        output[i] = (int8_t)clamp(((total + half) >> sum->shift) + sum->zero, sum->low, sum->high);
    }
}

/* section: multiply */
typedef struct {
    Rescale by;
    int first_zero, second_zero, zero;
    int period; /* after so many numbers the second input begins anew: one number a channel */
} Multiply;

static void multiply(const Multiply *product, const int8_t *first, const int8_t *second, int8_t *output, int count)
{
    for (int i = 0; i < count; i++) {
        const int32_t total = (first[i] - product->first_zero) * (second[i % product->period] - product->second_zero);
        const int64_t value = rescale(total, product->by.multiplier, product->by.shift);
        output[i] = (int8_t)clamp(value + product->zero, -128, 127);
    }
}

/* section: channels */
typedef struct {
    int positions;
    int input_channels, start, count, output_channels, offset;
    int input_zero, output_zero;
    Rescale by;
} Channels;

/* Copy some channels to some of another map, at another scale. */
static void channels(const Channels *copy, const int8_t *input, int8_t *output)
{
    for (int position = 0; position < copy->positions; position++) {
        const int8_t *from = input + position * copy->input_channels + copy->start;
        int8_t *to = output + position * copy->output_channels + copy->offset;
        for (int i = 0; i < copy->count; i++) {
            const int64_t value = rescale(from[i] - copy->input_zero, copy->by.multiplier, copy->by.shift);
            to[i] = (int8_t)clamp(value + copy->output_zero, -128, 127);
        }
    }
}

/* section: averaged */
typedef struct {
    int positions, channels, input_zero, output_zero;
    Rescale by;
} Mean;

static int64_t averaged(const Mean *mean, const int8_t *input, int channel)
{
    int32_t total = 0;
    for (int position = 0; position < mean->positions; position++) {
        total += input[position * mean->channels + channel] - mean->input_zero;
    }
    return rescale(total, mean->by.multiplier, mean->by.shift) + mean->output_zero;
}

/* section: mean */
static void mean(const Mean *layer, const int8_t *input, int8_t *output)
{
    for (int channel = 0; channel < layer->channels; channel++) {
        output[channel] = (int8_t)clamp(averaged(layer, input, channel), -128, 127);
    }
}

/* section: mean_scores */
static void mean_scores(const Mean *layer, const int8_t *input, int16_t *scores)
{
    for (int channel = 0; channel < layer->channels; channel++) {
        scores[channel] = (int16_t)clamp(averaged(layer, input, channel), -32767, 32767);
    }
}
