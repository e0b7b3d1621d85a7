package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/pir"
	"github.com/MordragT/nuka/profile"
	"github.com/MordragT/nuka/protocol"
)

func (a *app) hookCommand() *cobra.Command {
	var o profileOptions
	c := &cobra.Command{
		Use:   "hook SHELL",
		Short: "print the code that makes a shell find installed packages",
		Long: `Hook prints code for a shell's start file. The code puts the profile into PATH, MANPATH and the paths of completions. Before each prompt it
enters the folder's nuka.nu, if you have allowed that folder, and leaves it again. If a command is not found, the code prints which package of your
sets has it. Running the code twice changes nothing.

  bash        ~/.bashrc:   eval "$(nuka hook bash)"
  zsh         ~/.zshrc:    eval "$(nuka hook zsh)", before compinit
  fish        config.fish: nuka hook fish | source
  nu          config.nu:   source nuka.nu, after: nuka hook nu | save -f ($nu.default-config-dir | path join nuka.nu)
  powershell  $PROFILE:    nuka hook powershell | Out-String | Invoke-Expression`,
		Args: exactArgs("SHELL"), ValidArgs: profile.Shells(),
		RunE: func(_ *cobra.Command, words []string) error {
			dir, err := a.profile(o.name)
			if err != nil {
				return err
			}
			start, err := a.start()
			if err != nil {
				return err
			}
			text, err := profile.Hook(words[0], start.Program, filepath.Join(dir.Path(), profile.Current))
			if err == nil {
				_, err = fmt.Fprint(a.out, text)
			}
			return err
		},
	}
	o.nameFlag(c)
	return c
}

func (a *app) permissions() *profile.Permissions {
	return profile.OpenPermissions(filepath.Join(a.home.Data, "allowed.nuon"))
}

func (a *app) allowCommand(allow bool) *cobra.Command {
	c := &cobra.Command{
		Use: "allow [DIR]", Short: "let the shell's hook enter a folder", Args: rangeArgs(0, "DIR"),
		Long: `Allow lets the hook of your shells enter a folder that has a nuka.nu. The permission holds until nuka.nu, or a file that it uses, changes.
An environment sets variables and puts programs first in PATH: read nuka.nu before you allow it.`,
	}
	if !allow {
		c = &cobra.Command{Use: "deny [DIR]", Short: "take a permission of nuka allow back", Args: rangeArgs(0, "DIR")}
	}
	c.RunE = func(c *cobra.Command, words []string) error {
		dir, err := allowedFolder(words, allow)
		if err != nil {
			return err
		}
		if !allow {
			return a.permissions().Set(dir, nil)
		}
		key, err := profile.FolderKey(dir)
		if err != nil {
			return err
		}
		packages := []asked{{pkg: filepath.Join(dir, profile.FolderFile)}}
		results, err := a.evalEach(c.Context(), packages)
		if err != nil {
			return err
		}
		e, err := entranceOf(packages, results)
		if err != nil {
			return err
		}
		return a.permissions().Set(dir, &profile.Permission{Key: key, Files: e.files})
	}
	return c
}

// allowedFolder returns the folder that allow or deny names. A folder to allow must have a nuka.nu.
func allowedFolder(words []string, mustExist bool) (string, error) {
	if len(words) == 0 {
		return folderHere()
	}
	dir, err := filepath.Abs(words[0])
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(filepath.Join(dir, profile.FolderFile)); mustExist && err != nil {
		return "", protocol.Errorf(protocol.NotFound, "%s has no %s", words[0], profile.FolderFile)
	}
	return dir, nil
}

// The variables that tell the next call of a hook what the shell has entered.
const (
	dirVariable = "NUKA_DIR"     // the folder
	keyVariable = "NUKA_DIR_KEY" // its FolderKey; for a folder that was not entered, after the reason
	oldVariable = "NUKA_DIR_OLD" // the variables before: JSON in base64

	notAllowed = "not-allowed:"
	failed     = "failed:"
)

func (a *app) enterCommand() *cobra.Command {
	return &cobra.Command{
		Use: profile.EnterCommand + " SHELL", Hidden: true, Args: exactArgs("SHELL"),
		RunE: func(c *cobra.Command, words []string) error {
			change, err := a.hookChange(c)
			if len(change) > 0 {
				text, e := profile.Assign(words[0], change)
				if e == nil {
					_, e = fmt.Fprint(a.out, text)
				}
				err = errors.Join(err, e)
			}
			return err
		},
	}
}

// hookChange returns the variables that the hook sets: none if the shell is where it should be. With an error it returns what leaves the old
// folder and notes that the new one was not entered, so that the error is shown once.
func (a *app) hookChange(c *cobra.Command) (map[string]*string, error) {
	here, err := os.Getwd()
	if err != nil {
		return nil, err
	}
	dir, key := profile.FindFolder(here), ""
	if dir != "" {
		if key, err = profile.FolderKey(dir); err != nil {
			return nil, err
		}
	}
	permission, allowed := profile.Permission{}, false
	if dir != "" {
		if permission, allowed, err = a.permissions().Get(dir); err != nil {
			return nil, err
		}
		allowed = allowed && permission.Key == key
	}
	state := key
	if dir != "" && !allowed {
		state = notAllowed + key
	}
	if os.Getenv(dirVariable) == dir && (os.Getenv(keyVariable) == state || os.Getenv(keyVariable) == failed+state) {
		return nil, nil
	}
	change := leaveFolder()
	if dir == "" {
		return change, nil
	}
	if !allowed {
		setAll(change, map[string]string{dirVariable: dir, keyVariable: state})
		return change, protocol.Errorf(protocol.Denied, "%s is not entered: you have not allowed it, or it has changed", filepath.Join(dir, profile.FolderFile)).
			WithHint("read it, then: nuka allow")
	}
	variables, err := a.enterFolder(c, dir, &permission, change)
	if err != nil {
		setAll(change, map[string]string{dirVariable: dir, keyVariable: failed + state})
		return change, err
	}
	old := map[string]*string{}
	for name := range variables {
		value, there := os.LookupEnv(name)
		if restored, ok := change[name]; ok {
			value, there = "", restored != nil
			if there {
				value = *restored
			}
		}
		old[name] = nil
		if there {
			old[name] = &value
		}
	}
	text, err := json.Marshal(old)
	if err != nil {
		return nil, err
	}
	setAll(change, variables)
	setAll(change, map[string]string{dirVariable: dir, keyVariable: state, oldVariable: base64.StdEncoding.EncodeToString(text)})
	return change, nil
}

func setAll(change map[string]*string, variables map[string]string) {
	for name, value := range variables {
		change[name] = &value
	}
}

// leaveFolder returns the variables as they were before the shell entered its folder. In a list of folders it only removes those of the
// environment, so that what the user added since stays.
func leaveFolder() map[string]*string {
	change := map[string]*string{}
	for _, name := range []string{dirVariable, keyVariable, oldVariable} {
		if _, there := os.LookupEnv(name); there {
			change[name] = nil
		}
	}
	old := map[string]*string{}
	text, err := base64.StdEncoding.DecodeString(os.Getenv(oldVariable))
	if err != nil || json.Unmarshal(text, &old) != nil {
		return change
	}
	for name, value := range old {
		change[name] = value
	}
	for _, v := range pathVariables {
		value, there := os.LookupEnv(v.name)
		before, entered := old[v.name]
		if !there || !entered {
			continue
		}
		first, rest, _ := strings.Cut(value, string(os.PathListSeparator))
		if before == nil || !strings.HasSuffix(filepath.ToSlash(first), "/"+v.folder) {
			continue
		}
		change[v.name] = &rest
	}
	return change
}

// enterFolder makes the environment of a folder present and returns its variables. The node keeps the environment until the folder is entered
// with another one.
func (a *app) enterFolder(c *cobra.Command, dir string, permission *profile.Permission, change map[string]*string) (map[string]string, error) {
	ctx := c.Context()
	packages := []asked{{pkg: filepath.Join(dir, profile.FolderFile)}}
	client, results, err := a.evalAll(ctx, packages)
	if err != nil {
		return nil, err
	}
	defer client.Close()
	e, err := entranceOf(packages, results)
	if err != nil {
		return nil, err
	}
	if e.files != permission.Files {
		return nil, protocol.Errorf(protocol.Denied, "%s is not entered: a file that it uses has changed", filepath.Join(dir, profile.FolderFile)).
			WithHint("read it, then: nuka allow")
	}
	id, err := e.generation.EnvPID()
	if err != nil {
		return nil, err
	}
	o := &buildOptions{root: protocol.RootUser + "folder/" + pir.Sum([]byte(dir)).Short()}
	for _, p := range e.generation.Packages {
		o.roots = append(o.roots, protocol.Root{Name: o.root + "/package", PID: p.PID})
	}
	if err := a.fill(ctx, client, e.generation, results, o); err != nil {
		return nil, err
	}
	start, err := a.start()
	if err != nil {
		return nil, err
	}
	at := filepath.Join(a.home.Cache, "folders", id.String())
	if err := writeOnce(e.generation, at, a.home.Mount(), start); err != nil {
		return nil, err
	}
	return shellVariables(at, e.variables, func(name string) (string, bool) {
		if value, ok := change[name]; ok {
			if value == nil {
				return "", false
			}
			return *value, true
		}
		return os.LookupEnv(name)
	}), nil
}

// writeOnce replaces the folder of an environment that shells enter. Several shells may do so at once.
func writeOnce(g *profile.Generation, at, mount string, start *profile.Start) error {
	if err := os.MkdirAll(filepath.Dir(at), 0o700); err != nil {
		return err
	}
	temp, err := os.MkdirTemp(filepath.Dir(at), ".new-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	made := filepath.Join(temp, "env")
	if err := g.Write(made, mount, start); err != nil {
		return err
	}
	if err := os.Rename(made, at); err == nil {
		return nil
	}
	// There is one already: its launchers may name an nuka that was moved.
	if err := os.Rename(at, filepath.Join(temp, "old")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Rename(made, at); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}
