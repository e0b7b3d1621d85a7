# Opus, which encodes speech and music.
use autoconf.nu

export def main [] {
  autoconf package {
    name: opus
    version: "1.3.1"
    license: "BSD-3-Clause"
    homepage: "https://opus-codec.org/"
    src: (fetch debsrc opus 1.3.1-3 --hash b3-3tbykx7y7zitfu2tqs3subjwjbiav7qdnbhh7cl2kdtpsyf2bsva)
    finish: {|b|
      "#include <opus.h>
        int main(void)
        {
          OpusEncoder *encoder = opus_encoder_create(48000, 1, OPUS_APPLICATION_AUDIO, 0);
          OpusDecoder *decoder = opus_decoder_create(48000, 1, 0);
          float sound[960] = {0.5f};
          unsigned char packet[400];
          int n = opus_encode_float(encoder, sound, 960, packet, sizeof packet);
          return opus_decode_float(decoder, packet, n, sound, 960, 0) != 960;
        }" | save frame.c
      ^cc -o frame frame.c $"-I($b.out)/include/opus" $"-L($b.out)/lib" -lopus
      ^./frame
    }
  }
}
