# The Java runtime, and programs of Maven projects.
use ../base/fhs.nu
use ../toolchain/maven.nu
use app.nu

export def main [
  --arch: string = "amd64"
  --packages: list<string> = []  # more Debian packages of the lock file, with what they need
  --add: list<any> = []          # other packages, whose files go into the runtime
] {
  fhs runtime java --groups [java] --packages $packages --add $add --arch $arch --description "The Java runtime, from Debian 13: a JDK without its graphical parts."
}

# A program of a Maven project, or of an artifact of a Maven repository, with the jars that it needs. Maven finds those, as the recording answers.
#
#     java app {name: checkstyle, version: "11.1.0", artifact: com.puppycrawl.tools:checkstyle, main: com.puppycrawl.tools.checkstyle.Main, recording: ./recording.nuon}
#
# Its fields, beside those of a derivation:
#   recording  the file that nuka lock writes
#   main       the class that the program starts with
#   src        the project, with its pom.xml; without it the artifact
#   artifact   GROUP:NAME of an artifact at `version`
#   mvn        arguments of mvn, such as [-Pdist]
#   java       arguments of java, such as [-Xmx1g]
#   system     Debian packages that it needs beside the Java runtime
export def app [spec: record] {
  let recording = (fetch recording $spec.recording --ecosystem maven)
  let runtime = (main --packages (app locked $spec) --add [(maven) ...(app pins $recording)])
  let name = $spec.name
  let version = ($spec.version? | default "")
  let start = $spec.main
  let artifact = ($spec.artifact? | default "")
  let arguments = ($spec.mvn? | default [])
  let options = ($spec.java? | default [] | str join " ")
  let from_source = $spec.src? != null
  app package $spec $runtime $recording --leave [main artifact mvn java] --build {|b|
    let jars = $"($b.out)/share/java/($name)"
    mkdir $jars $"($b.out)/bin"
    if $from_source { app project $b.src /nuka/build/project } else {
      mkdir /nuka/build/project
      let parts = ($artifact | split row ":")
      $"<project xmlns=\"http://maven.apache.org/POM/4.0.0\"><modelVersion>4.0.0</modelVersion><groupId>nuka</groupId><artifactId>program</artifactId><version>1</version>
<dependencies><dependency><groupId>($parts.0)</groupId><artifactId>($parts.1)</artifactId><version>($version)</version></dependency></dependencies></project>
" | save /nuka/build/project/pom.xml
    }
    cd /nuka/build/project
    let steps = if $from_source { [-DskipTests package] } else { [] }
    (^mvn --batch-mode --no-transfer-progress -Dproject.build.outputTimestamp=2000-01-01T00:00:00Z ...$arguments ...$steps
      dependency:copy-dependencies -DincludeScope=runtime $"-DoutputDirectory=($jars)")
    if $from_source { glob target/*.jar | where {|f| $f !~ '-(sources|javadoc|tests)\.jar$'} | each {|f| cp $f $jars } | ignore }
    $"#!/bin/sh\nhere=$\(dirname -- \"$\(readlink -f -- \"$0\")\")\nexec java ($options) -cp \"$here/../share/java/($name)/*\" ($start) \"$@\"\n" | save $"($b.out)/bin/($name)"
    chmod +x $"($b.out)/bin/($name)"
  }
}
