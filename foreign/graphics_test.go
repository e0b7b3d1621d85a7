package foreign

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/MordragT/nuka/foreign/elfdeps"
	"github.com/MordragT/nuka/foreign/permission"
)

// graphicsHost makes the file system of a machine with drivers. Its libraries are this program.
func graphicsHost(t *testing.T, libraries ...string) elfdeps.Tree {
	t.Helper()
	dir := t.TempDir()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	put := func(name, text string) {
		t.Helper()
		at := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(at), 0o755), os.WriteFile(at, []byte(text), 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	folder := "usr/lib/" + elfdeps.Multiarch(Machine()) + "/"
	put(folder+"libcuda.so.0", "no ELF file")
	put("usr/share/glvnd/egl_vendor.d/50_mesa.json", `{"file_format_version": "1.0.0", "ICD": {"library_path": "libEGL_mesa.so.0"}}`)
	put("usr/share/vulkan/icd.d/nvidia_icd.json", `{"file_format_version": "1.0.1", "ICD": {"library_path": "/usr/lib/libGLX_nvidia.so.0", "api_version": "1.3"}}`)
	put("usr/share/vulkan/icd.d/broken.json", `{`)
	for _, name := range libraries {
		at := filepath.Join(dir, folder, name)
		if err := os.MkdirAll(filepath.Dir(at), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Link(self, at); err != nil { // the folder of tests may be on another disk
			b, err := os.ReadFile(self)
			if err := errors.Join(err, os.WriteFile(at, b, 0o755)); err != nil {
				t.Fatal(err)
			}
		}
	}
	return elfdeps.Tree{"/": dir}
}

func TestFindGraphics(t *testing.T) {
	if elfdeps.Multiarch(Machine()) == "" {
		t.Skip("another kind of processor")
	}
	for _, test := range []struct {
		libraries []string
		says      string
		found     []string
	}{
		{nil, "", nil},
		{[]string{"libc.so.6", "libgbm.so.1", "dri/swrast_dri.so"}, "", nil}, // parts of Mesa that no program opens first
		{[]string{"libcuda.so.550.54.14", "libcuda.so.1", "libGLX_nvidia.so.0"}, "NVIDIA 550.54.14", []string{"libGLX_nvidia.so.0", "libcuda.so.1", "libcuda.so.550.54.14"}},
		{[]string{"libEGL_mesa.so.0", "dri/swrast_dri.so", "libcuda.so.1"}, "Mesa", []string{"dri/swrast_dri.so", "libEGL_mesa.so.0", "libcuda.so.1"}},
	} {
		g := FindGraphics(graphicsHost(t, test.libraries...))
		var found []string
		for name := range g.Libraries {
			found = append(found, name)
		}
		slices.Sort(found)
		if diff := cmp.Diff(test.found, found); diff != "" || g.Says() != test.says {
			t.Errorf("%v: %q, %s", test.libraries, g.Says(), diff)
		}
	}
}

func TestAddGraphics(t *testing.T) {
	if elfdeps.Multiarch(Machine()) == "" {
		t.Skip("another kind of processor")
	}
	host := graphicsHost(t, "libEGL_mesa.so.0", "dri/swrast_dri.so", "libGLX_nvidia.so.0")
	b := newBox(t)
	added := func() []string {
		l, err := b.Layout()
		if err != nil {
			t.Fatal(err)
		}
		l.addGraphics(host)
		var names []string
		for _, m := range l.Mounts {
			if rest, ok := strings.CutPrefix(m.Target, graphicsDir+"/"); ok {
				names = append(names, rest+" "+string(m.Kind)+" "+string(m.Content))
			}
		}
		slices.Sort(names)
		return append(names, l.Env["LD_LIBRARY_PATH"], l.Env["VK_ADD_DRIVER_FILES"])
	}
	vulkan := `vulkan/nvidia_icd.json file {"file_format_version":"1.0.1","ICD":{"api_version":"1.3","library_path":"libGLX_nvidia.so.0"}}`
	want := []string{
		`egl/50_mesa.json file {"file_format_version":"1.0.0","ICD":{"library_path":"libEGL_mesa.so.0"}}`,
		"lib/dri/swrast_dri.so ro ", "lib/libEGL_mesa.so.0 ro ", "lib/libGLX_nvidia.so.0 ro ", vulkan, graphicsDir + "/lib", graphicsDir + "/vulkan",
	}
	if diff := cmp.Diff(want, added()); diff != "" {
		t.Error(diff)
	}
	// A runtime with a Mesa of its own keeps it.
	own := filepath.Join(b.Tree, "usr/lib", elfdeps.Multiarch(Machine()), "libGLX_mesa.so.0")
	if err := errors.Join(os.MkdirAll(filepath.Dir(own), 0o755), os.WriteFile(own, []byte("x"), 0o644)); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"lib/libGLX_nvidia.so.0 ro ", vulkan, graphicsDir + "/lib", graphicsDir + "/vulkan"}, added()); diff != "" {
		t.Error(diff)
	}
	// Without the permission nothing of the machine's is shown.
	b.Grants = []permission.Permission{}
	if l, err := b.Layout(); err != nil || l.Env["LD_LIBRARY_PATH"] != "" {
		t.Errorf("without the permission: %v, %v", l.Env, err)
	}
}
