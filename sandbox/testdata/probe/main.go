package main

import "fmt"
import "os"

func main() {
	fmt.Println(os.Args, os.Environ(), os.Getuid())
	b, _ := os.ReadFile("/proc/self/mountinfo")
	fmt.Print(string(b))
	b, _ = os.ReadFile("/proc/self/status")
	fmt.Print(string(b))
}
