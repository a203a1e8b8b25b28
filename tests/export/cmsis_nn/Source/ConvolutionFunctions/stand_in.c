#include <string.h>

#include "arm_nnfunctions.h"

#ifndef WANTED
#define WANTED 0
#endif

static int64_t power(int32_t exponent)
{
    return (int64_t)1 << exponent;
}

/* value * multiplier / 2^31 * 2^shift; the default rounds to 32 bits first, and halves away from zero then. */
static int64_t scaled(int64_t value, int32_t multiplier, int32_t shift)
{
#ifdef CMSIS_NN_USE_SINGLE_ROUNDING
    return (value * multiplier + power(30 - shift)) >> (31 - shift);
#else
    const int64_t high = (value * power(shift > 0 ? shift : 0) * multiplier + power(30)) >> 31;
    const int64_t size = high < 0 ? -high : high;
    const int64_t rounded = shift < 0 ? (size + power(-shift - 1)) >> -shift : size;
    return high < 0 ? -rounded : rounded;
#endif
}

/* One multiplier of channels: an output sees all inputs (deep) or the one of its number. */
static void convolve(int deep, cmsis_nn_conv_params params, const cmsis_nn_per_channel_quant_params *by,
                     const cmsis_nn_dims *from, const int8_t *input, const cmsis_nn_dims *taps, const int8_t *weights,
                     const int32_t *bias, const cmsis_nn_dims *to, int8_t *output)
{
    for (int at = 0; at < to->h * to->w * to->c; at++) {
        const int channel = at % to->c, column = at / to->c % to->w, row = at / to->c / to->w;
        int64_t total = bias[channel];
        for (int tap = 0; tap < taps->h * taps->w * (deep ? from->c : 1); tap++) {
            const int depth = deep ? tap % from->c : channel, place = deep ? tap / from->c : tap;
            const int y = row * params.stride.h - params.padding.h + place / taps->w * params.dilation.h;
            const int x = column * params.stride.w - params.padding.w + place % taps->w * params.dilation.w;
            if (y >= 0 && y < from->h && x >= 0 && x < from->w) {
                const int weight = deep ? channel * taps->h * taps->w * from->c + tap : place * to->c + channel;
                total += (input[(y * from->w + x) * from->c + depth] + params.input_offset) * weights[weight];
            }
        }
        const int64_t value = scaled(total, by->multiplier[channel], by->shift[channel]) + params.output_offset;
        const int64_t least = value < params.activation.min ? params.activation.min : value;
        output[at] = (int8_t)(least > params.activation.max ? params.activation.max : least);
    }
}

int32_t arm_convolve_wrapper_s8_get_buffer_size(const cmsis_nn_conv_params *params, const cmsis_nn_dims *from,
                                                const cmsis_nn_dims *taps, const cmsis_nn_dims *to)
{
    (void)params, (void)from, (void)taps, (void)to;
    return WANTED;
}

arm_cmsis_nn_status arm_convolve_wrapper_s8(const cmsis_nn_context *context, const cmsis_nn_conv_params *params,
                                            const cmsis_nn_per_channel_quant_params *by, const cmsis_nn_dims *from,
                                            const int8_t *input, const cmsis_nn_dims *taps, const int8_t *weights,
                                            const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                            const cmsis_nn_dims *to, int8_t *output)
{
    if (bias_dims->c != to->c || taps->n != to->c || taps->c != from->c) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
#ifdef REFUSES
    return ARM_CMSIS_NN_ARG_ERROR;
#endif
    memset(context->buf, 0x55, (size_t)context->size);
    convolve(1, *params, by, from, input, taps, weights, bias, to, output);
    return ARM_CMSIS_NN_SUCCESS;
}

int32_t arm_depthwise_conv_wrapper_s8_get_buffer_size(const cmsis_nn_dw_conv_params *params, const cmsis_nn_dims *from,
                                                      const cmsis_nn_dims *taps, const cmsis_nn_dims *to)
{
    (void)params, (void)from, (void)taps, (void)to;
    return WANTED;
}

arm_cmsis_nn_status arm_depthwise_conv_wrapper_s8(const cmsis_nn_context *context,
                                                  const cmsis_nn_dw_conv_params *params,
                                                  const cmsis_nn_per_channel_quant_params *by,
                                                  const cmsis_nn_dims *from, const int8_t *input,
                                                  const cmsis_nn_dims *taps, const int8_t *weights,
                                                  const cmsis_nn_dims *bias_dims, const int32_t *bias,
                                                  const cmsis_nn_dims *to, int8_t *output)
{
    const cmsis_nn_conv_params plain = {params->input_offset, params->output_offset, params->stride,
                                        params->padding,      params->dilation,      params->activation};
    if (bias_dims->c != to->c || taps->c != to->c || from->c != to->c || params->ch_mult != 1) {
        return ARM_CMSIS_NN_ARG_ERROR;
    }
#ifdef REFUSES
    return ARM_CMSIS_NN_ARG_ERROR;
#endif
    memset(context->buf, 0x55, (size_t)context->size);
    convolve(0, plain, by, from, input, taps, weights, bias, to, output);
    return ARM_CMSIS_NN_SUCCESS;
}
