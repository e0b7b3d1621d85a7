# Prettier, which formats JavaScript, CSS, Markdown and more.
use lang/node.nu

export def main [] {
  node app {
    name: prettier
    version: "3.6.2"
    license: MIT
    description: "Prettier, which formats JavaScript, CSS, Markdown and more."
    recording: ./prettier/recording.nuon
  }
}
