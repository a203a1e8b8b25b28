/* Reads images from images.bin, one after the other, and prints the scores of each on a line.

   On a computer:   cc -std=c99 -O2 -o network main.c network.c && ./network
   In an emulator:  docs/export.md */
#include <stdio.h>

#include "network.h"

static uint8_t pixels[NETWORK_INPUT_BYTES];
static int16_t scores[NETWORK_CLASSES];

int main(void)
{
    FILE *images = fopen("images.bin", "rb");
    if (images == NULL) {
        fputs("images.bin: cannot be opened\n", stderr);
        return 2;
    }
    if (network_self_test() != 0) {
        fputs("the self-test fails: the compiler or its flags change the arithmetic\n", stderr);
        return 1;
    }
    while (fread(pixels, 1, sizeof pixels, images) == sizeof pixels) {
        network_run(pixels, scores);
        for (int number = 0; number < NETWORK_CLASSES; number++) {
            printf("%d%c", scores[number], number + 1 < NETWORK_CLASSES ? ' ' : '\n');
        }
    }
    fclose(images);
    return 0;
}
