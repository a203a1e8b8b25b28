/* section: cmsis_nn */
/* -DNETWORK_CMSIS_NN: Arm's CMSIS-NN computes the convolutions that it computes to the same bit. */
#ifdef NETWORK_CMSIS_NN
#ifndef CMSIS_NN_USE_SINGLE_ROUNDING
#error "NETWORK_CMSIS_NN needs -DCMSIS_NN_USE_SINGLE_ROUNDING here and where CMSIS-NN is compiled"
#endif
#include "arm_nnfunctions.h"

/* The shifts, the weights of a depthwise layer in CMSIS-NN's order, then what its functions work in. */
static int32_t cmsis_nn_buffer[(NETWORK_CMSIS_NN_BYTES + 3) / 4];

/* Words of the buffer that shifts and weights of a layer take; the rest is for CMSIS-NN. */
static int32_t cmsis_nn_taken(const Convolution *layer)
{
    const int weights = layer->groups > 1 ? layer->kernel_height * layer->kernel_width * layer->output.channels : 0;
    return layer->output.channels + (weights + 3) / 4;
}

/* CMSIS-NN multiplies by multiplier / 2^31 and shifts to the left. It does not write to the multipliers. */
static cmsis_nn_per_channel_quant_params cmsis_nn_factors(const Convolution *layer)
{
    const cmsis_nn_per_channel_quant_params factors = {
        .multiplier = (int32_t *)layer->multipliers, .shift = cmsis_nn_buffer};
    for (int channel = 0; channel < layer->output.channels; channel++) {
        factors.shift[channel] = 31 - layer->shifts[channel];
    }
    return factors;
}

static cmsis_nn_dims cmsis_nn_map(const Map *map)
{
    const cmsis_nn_dims dims = {.n = 1, .h = map->height, .w = map->width, .c = map->channels};
    return dims;
}

/* 1 where there is memory and CMSIS-NN has no objection. */
static int cmsis_nn_dense(const Convolution *layer, const int8_t *input, int8_t *output, cmsis_nn_context room)
{
    const cmsis_nn_conv_params params = {
        .input_offset = -layer->input_zero,
        .output_offset = layer->output_zero,
        .stride = {.w = layer->stride_width, .h = layer->stride_height},
        .padding = {.w = layer->padding_left, .h = layer->padding_top},
        .dilation = {.w = layer->dilation_width, .h = layer->dilation_height},
        .activation = {.min = layer->low, .max = layer->high},
    };
    const cmsis_nn_dims from = cmsis_nn_map(&layer->input), to = cmsis_nn_map(&layer->output);
    const cmsis_nn_dims bias = {.n = 1, .h = 1, .w = 1, .c = to.c};
    const cmsis_nn_dims taps = {.n = to.c, .h = layer->kernel_height, .w = layer->kernel_width, .c = from.c};
    if (arm_convolve_wrapper_s8_get_buffer_size(&params, &from, &taps, &to) > room.size) {
        return 0;
    }
    const cmsis_nn_per_channel_quant_params factors = cmsis_nn_factors(layer);
    return arm_convolve_wrapper_s8(&room, &params, &factors, &from, input, &taps, layer->weights, &bias, layer->bias,
                                   &to, output) == ARM_CMSIS_NN_SUCCESS;
}

/* The same; its weights lie (kernel height, kernel width, channels). */
static int cmsis_nn_depthwise(const Convolution *layer, const int8_t *input, int8_t *output, cmsis_nn_context room)
{
    const cmsis_nn_dw_conv_params params = {
        .input_offset = -layer->input_zero,
        .output_offset = layer->output_zero,
        .ch_mult = 1,
        .stride = {.w = layer->stride_width, .h = layer->stride_height},
        .padding = {.w = layer->padding_left, .h = layer->padding_top},
        .dilation = {.w = layer->dilation_width, .h = layer->dilation_height},
        .activation = {.min = layer->low, .max = layer->high},
    };
    const cmsis_nn_dims from = cmsis_nn_map(&layer->input), to = cmsis_nn_map(&layer->output);
    const cmsis_nn_dims bias = {.n = 1, .h = 1, .w = 1, .c = to.c};
    const cmsis_nn_dims taps = {.n = 1, .h = layer->kernel_height, .w = layer->kernel_width, .c = to.c};
    if (arm_depthwise_conv_wrapper_s8_get_buffer_size(&params, &from, &taps, &to) > room.size) {
        return 0;
    }
    const cmsis_nn_per_channel_quant_params factors = cmsis_nn_factors(layer);
    int8_t *turned = (int8_t *)(cmsis_nn_buffer + to.c);
    const int positions = layer->kernel_height * layer->kernel_width;
    for (int channel = 0; channel < layer->output.channels; channel++) {
        for (int position = 0; position < positions; position++) {
            turned[position * layer->output.channels + channel] = layer->weights[channel * positions + position];
        }
    }
    return arm_depthwise_conv_wrapper_s8(&room, &params, &factors, &from, input, &taps, turned, &bias, layer->bias, &to,
                                         output) == ARM_CMSIS_NN_SUCCESS;
}

/* The loops compute where a version of CMSIS-NN wants more memory than there is: the answer is the same. */
static void cmsis_nn_convolution(const Convolution *layer, const int8_t *input, int8_t *output)
{
    const int32_t taken = cmsis_nn_taken(layer), words = sizeof cmsis_nn_buffer / sizeof cmsis_nn_buffer[0];
    if (taken <= words) {
        const cmsis_nn_context room = {.buf = cmsis_nn_buffer + taken, .size = 4 * (words - taken)};
        if ((layer->groups > 1 ? cmsis_nn_depthwise : cmsis_nn_dense)(layer, input, output, room)) {
            return;
        }
    }
    NETWORK_CONVOLUTION(layer, input, output);
}
#define CMSIS_NN_CONVOLUTION cmsis_nn_convolution
#else
#define CMSIS_NN_CONVOLUTION NETWORK_CONVOLUTION
#endif

/* section: cmsis_nn_test */
#ifdef NETWORK_CMSIS_NN
/* -2 / 4 is 0 rounded once, half up, and -1 where CMSIS-NN was compiled to round twice. */
static int cmsis_nn_rounds_once(void)
{
    static const int8_t weight = 1, shift = 32, input = -2;
    static const int32_t bias = 0, multiplier = (int32_t)1 << 30;
    static const Convolution layer = {
        .input = {1, 1, 1}, .output = {1, 1, 1},
        .kernel_height = 1, .kernel_width = 1, .stride_height = 1, .stride_width = 1,
        .dilation_height = 1, .dilation_width = 1, .groups = 1, .low = -128, .high = 127,
        .weights = &weight, .bias = &bias, .multipliers = &multiplier, .shifts = &shift,
    };
    int8_t output = 1;
    cmsis_nn_convolution(&layer, &input, &output);
    return output == 0;
}
#endif
