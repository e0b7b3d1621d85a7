# Checkstyle, which checks the style of Java.
use lang/java.nu

export def main [] {
  java app {
    name: checkstyle
    version: "10.21.4"
    license: LGPL-2.1-or-later
    description: "Checkstyle, which checks the style of Java."
    artifact: "com.puppycrawl.tools:checkstyle"
    main: com.puppycrawl.tools.checkstyle.Main
    recording: ./checkstyle/recording.nuon
  }
}
