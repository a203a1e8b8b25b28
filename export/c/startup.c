/* Start of a Cortex-M in QEMU: the vectors, and the program's instructions counted by SysTick.

   With `-icount shift=0` QEMU lets one nanosecond pass an instruction, and SysTick counts at the 25 MHz of the
   board: 40 instructions a tick. */
#include <stdint.h>
#include <stdio.h>

#include "network.h"

extern uint32_t stack_top[];
extern void _start(void);

static volatile uint32_t wraps;

static void count_wrap(void)
{
    wraps++;
}

static void stop(void)
{
    for (;;) {
    }
}

__attribute__((section(".vectors"), used)) static void (*const vectors[16])(void) = {
    (void (*)(void))stack_top, _start, stop, stop, stop, stop, stop, 0, 0, 0, 0, stop, stop, 0, stop, count_wrap,
};

static volatile uint32_t *const systick = (volatile uint32_t *)0xE000E010;

static uint64_t ticks(void)
{
    const uint32_t before = wraps;
    const uint32_t left = systick[2];
    return (uint64_t)(wraps != before ? wraps : before) * 0x1000000u + (0xFFFFFFu - left);
}

static uint8_t pixels[NETWORK_INPUT_BYTES];
static int16_t scores[NETWORK_CLASSES];

int main(void)
{
    FILE *images = fopen("images.bin", "rb");
    if (images == NULL || network_self_test() != 0) {
        puts("failed");
        return 1;
    }
    systick[1] = 0xFFFFFFu;
    systick[2] = 0;
    systick[0] = 7; /* processor clock, interrupt, on */
    while (fread(pixels, 1, sizeof pixels, images) == sizeof pixels) {
        const uint64_t begun = ticks();
        network_run(pixels, scores);
        const uint64_t ended = ticks();
        printf("%lu", (unsigned long)(ended - begun));
        for (int number = 0; number < NETWORK_CLASSES; number++) {
            printf(" %d", scores[number]);
        }
        putchar('\n');
    }
    return 0;
}
