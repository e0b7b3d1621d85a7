# Pixman, which composes images.
use meson.nu

export def main [] {
  meson package {
    name: pixman
    version: "0.42.2"
    license: MIT
    homepage: "https://www.pixman.org/"
    src: (fetch debsrc pixman 0.42.2-1 --hash b3-o6mkzn5r34exqnpe7cp7r6d35dhizteix6dzuz62hcvqtgjajgxa)
    options: [-Dtests=disabled -Dopenmp=disabled -Dgtk=disabled -Dlibpng=disabled]
    finish: {|b|
      "#include <pixman.h>
        int main(void)
        {
          uint32_t pixel = 0;
          pixman_image_t *image = pixman_image_create_bits(PIXMAN_a8r8g8b8, 1, 1, &pixel, 4);
          pixman_color_t half = {0x8000, 0, 0, 0x8000};
          pixman_image_t *red = pixman_image_create_solid_fill(&half);
          pixman_image_composite32(PIXMAN_OP_OVER, red, 0, image, 0, 0, 0, 0, 0, 0, 1, 1);
          return pixel != 0x80800000;
        }" | save half.c
      ^cc -o half half.c $"-I($b.out)/include/pixman-1" $"-L($b.out)/lib" -lpixman-1
      ^./half
    }
  }
}
