use lang/python.nu
# A Python application that uses PyTorch, where PyTorch does not bundle libtorch: the modules of Debian's python3-torch.
export def main [] {
  python app {name: ones, version: "1.0", src: (fetch path ./ones), modules: [python3-torch], recording: ./ones.nuon}
}
