# yt-dlp, which downloads videos.
use lang/python.nu

export def main [] {
  python app {
    name: yt-dlp
    version: "2025.6.9"
    license: Unlicense
    description: "yt-dlp, which downloads videos."
    recording: ./yt-dlp/recording.nuon
    run: {permissions: {network: true}}
  }
}
