package foreign

import (
	"encoding/json"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/MordragT/nuka/foreign/elfdeps"
	"github.com/MordragT/nuka/internal/lazyregexp"
	"github.com/MordragT/nuka/sandbox"
)

// graphicsDir is where programs see the driver of the machine's graphics card.
const graphicsDir = "/run/nuka-graphics"

// mesa matches the entry points of Mesa, the driver of all cards but NVIDIA's own.
var mesa = lazyregexp.New(`^lib(EGL_mesa|GLX_mesa|gallium-|vulkan_|glapi|gbm)[^/]*[.]so`)

// A Graphics is the libraries of a machine's drivers of graphics cards. They belong to the kernel of the machine, and no package has them.
type Graphics struct {
	NVIDIA string // the version of NVIDIA's driver; "" is none
	Mesa   bool
	// Libraries has the path of each library, after all links, by the name by which it is loaded: a SONAME, or dri/NAME.
	Libraries map[string]string
}

// FindGraphics finds the drivers of a machine. root is its file system, in which programs look for libraries.
func FindGraphics(root elfdeps.Root) *Graphics {
	g := &Graphics{Libraries: map[string]string{}}
	for _, dir := range elfdeps.Folders(root, Machine()) {
		names, err := root.List(dir)
		if err != nil {
			continue
		}
		for _, name := range names {
			if elfdeps.Driver(name) || mesa().MatchString(name) {
				g.take(root, dir, name, name)
			}
		}
		if names, err = root.List(path.Join(dir, "dri")); err == nil {
			for _, name := range names {
				if strings.HasSuffix(name, "_dri.so") {
					g.take(root, path.Join(dir, "dri"), name, "dri/"+name)
				}
			}
		}
	}
	_, egl := g.Libraries["libEGL_mesa.so.0"]
	_, glx := g.Libraries["libGLX_mesa.so.0"]
	if g.Mesa = egl || glx; !g.Mesa {
		maps.DeleteFunc(g.Libraries, func(name, _ string) bool { return !elfdeps.Driver(name) })
	}
	return g
}

// take adds a library, unless an earlier folder has one of that name, or it is for another kind of processor.
func (g *Graphics) take(root elfdeps.Root, dir, file, name string) {
	if _, there := g.Libraries[name]; there {
		return
	}
	at, b, err := elfdeps.ReadFile(root, path.Join(dir, file))
	if err != nil || b.Machine != Machine() {
		return
	}
	g.Libraries[name] = at
	if version, ok := strings.CutPrefix(name, "libcuda.so."); ok && strings.Contains(version, ".") {
		g.NVIDIA = version
	}
}

// Says describes the drivers in a few words; "" is none.
func (g *Graphics) Says() string {
	var names []string
	if g.NVIDIA != "" {
		names = append(names, "NVIDIA "+g.NVIDIA)
	}
	if g.Mesa {
		names = append(names, "Mesa")
	}
	return strings.Join(names, ", ")
}

// addGraphics shows the program the drivers of the machine, read-only, with what they need and the runtime does not have. A runtime with a Mesa of its own keeps it.
func (l *Layout) addGraphics(host elfdeps.Tree) {
	g := FindGraphics(host)
	folders := elfdeps.Folders(l.files(), Machine())
	if g.Mesa && hasLibrary(l.files(), folders, "libEGL_mesa.so.0", "libGLX_mesa.so.0") {
		maps.DeleteFunc(g.Libraries, func(name, _ string) bool { return !elfdeps.Driver(name) })
		g.Mesa = false
	}
	if len(g.Libraries) == 0 {
		return
	}
	hostFolders := elfdeps.Folders(host, Machine())
	for queue := slices.Sorted(maps.Keys(g.Libraries)); len(queue) > 0; queue = queue[1:] {
		_, b, err := elfdeps.ReadFile(host, g.Libraries[queue[0]])
		if err != nil {
			continue
		}
		for _, need := range b.Needed {
			if _, there := g.Libraries[need]; there || strings.Contains(need, "/") || hasLibrary(l.files(), folders, need) {
				continue
			}
			for _, dir := range hostFolders {
				if g.take(host, dir, need, need); g.Libraries[need] != "" {
					queue = append(queue, need)
					break
				}
			}
		}
	}
	libs := path.Join(graphicsDir, "lib")
	for _, name := range slices.Sorted(maps.Keys(g.Libraries)) {
		if at, ok := host.Host(g.Libraries[name]); ok {
			l.add(sandbox.Mount{Kind: sandbox.RO, Source: at, Target: path.Join(libs, name)})
		}
	}
	l.Env["LD_LIBRARY_PATH"] = strings.TrimPrefix(l.Env["LD_LIBRARY_PATH"]+":"+libs, ":")
	l.Env["LIBGL_DRIVERS_PATH"] = path.Join(libs, "dri")
	l.addManifests(host, g, "egl", "__EGL_VENDOR_LIBRARY_DIRS", ":/usr/share/glvnd/egl_vendor.d", "/usr/share/glvnd/egl_vendor.d", "/etc/glvnd/egl_vendor.d")
	l.addManifests(host, g, "vulkan", "VK_ADD_DRIVER_FILES", "", "/usr/share/vulkan/icd.d", "/etc/vulkan/icd.d")
	l.compareGraphics(g, libs)
}

// hasLibrary reports whether a root has any of some libraries.
func hasLibrary(root elfdeps.Root, folders []string, names ...string) bool {
	for _, dir := range folders {
		for _, name := range names {
			if _, info, err := elfdeps.Resolve(root, path.Join(dir, name)); err == nil && info.Mode().IsRegular() {
				return true
			}
		}
	}
	return false
}

// addManifests adds the files by which loaders find drivers, with the libraries' names in place of their paths on the machine.
func (l *Layout) addManifests(host elfdeps.Tree, g *Graphics, name, variable, rest string, dirs ...string) {
	inside := path.Join(graphicsDir, name)
	found := false
	for _, dir := range dirs {
		dir, _ = host.Host(dir)
		files, _ := filepath.Glob(filepath.Join(dir, "*.json"))
		for _, file := range files {
			var manifest struct {
				Version string         `json:"file_format_version"`
				ICD     map[string]any `json:"ICD"`
			}
			b, err := os.ReadFile(file)
			if err != nil || json.Unmarshal(b, &manifest) != nil {
				continue
			}
			library, _ := manifest.ICD["library_path"].(string)
			if g.Libraries[path.Base(library)] == "" {
				continue
			}
			manifest.ICD["library_path"] = path.Base(library)
			if b, err = json.Marshal(manifest); err == nil {
				found = true
				l.add(sandbox.Mount{Kind: sandbox.File, Content: b, Target: path.Join(inside, filepath.Base(file))})
			}
		}
	}
	if found {
		l.Env[variable] = inside + rest
	}
}

// compareGraphics notes when drivers need a newer library than the runtime has: programs can't load them then.
func (l *Layout) compareGraphics(g *Graphics, libs string) {
	scan := elfdeps.NewScan(l.files(), Machine(), []string{libs})
	for _, name := range slices.Sorted(maps.Keys(g.Libraries)) {
		_ = scan.Add(path.Join(libs, name), true) // what cannot be read is not loaded either
	}
	if old := scan.Report().TooOld; len(old) > 0 {
		l.Notes = append(l.Notes, "device=dri: "+g.Says()+" of this machine needs "+old[0].Version+" of "+old[0].Soname+", which is newer than the runtime's")
	}
}
