# Mbed TLS, a library for cryptography, certificates and TLS, with its programs for keys, certificates and hashes.
use makefile.nu

const programs = [
  aes/crypt_and_hash hash/generic_sum pkey/gen_key pkey/key_app pkey/key_app_writer pkey/pk_decrypt pkey/pk_encrypt pkey/pk_sign pkey/pk_verify test/selftest
  util/pem2der util/strerror x509/cert_app x509/cert_req x509/cert_write x509/crl_app x509/req_app
]

export def main [] {
  let programs = $programs
  makefile package {
    name: mbedtls
    version: "2.28.3"
    license: "Apache-2.0"
    homepage: "https://www.trustedfirmware.org/projects/mbed-tls/"
    src: (fetch debsrc mbedtls 2.28.3-1 --hash b3-lxuiratb5zteaimxvd2tcgzpwlm6mbt45ekgudpin6w2psd4roba)
    prepare: {|b| ^make $"-j($b.jobs)" -C library } # two programs would make it twice at once
    make: [-C programs ...$programs]
    copy: {lib: ["library/*.a"], include: [include/mbedtls include/psa]}
    # As its own makefile names them.
    finish: {|b| mkdir $"($b.out)/bin"; for p in $programs { cp $"programs/($p)" $"($b.out)/bin/mbedtls_($p | path basename)" } }
    commands: ($programs | path basename | each {|p| $"mbedtls_($p)" })
  }
}
