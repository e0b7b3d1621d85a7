package main

import (
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/MordragT/nuka/protocol"
)

// servicesBecome is what keeps a service running starts: it becomes the program. People do not call it.
func (a *app) servicesBecome() *cobra.Command {
	c := &cobra.Command{Use: "become PID NAME", Short: "become the program of a service", Hidden: true, Args: exactArgs("PID", "NAME")}
	state := c.Flags().String("state", "", "the folder of the state of services")
	credentials := c.Flags().String("credentials", "", "the folder of the service's secrets")
	a.yesFlag(c)
	c.RunE = func(c *cobra.Command, words []string) error {
		ctx := c.Context()
		handed := handedSockets()
		client, _, set, err := a.serviceSet(ctx, &thing{id: words[0]})
		if err != nil {
			return err
		}
		s, err := one(set, words[1])
		if err != nil {
			client.Close()
			return err
		}
		endWithParent(s.Stop.Within)
		program, trees, err := a.openProgram(ctx, client, protocol.ProgramArgs{PID: s.Package.PID, Command: s.Command})
		if err != nil {
			return err
		}
		defer trees.Close()
		folders, here, err := serviceFolders(*state, s)
		if err != nil {
			return err
		}
		o := &runOptions{app: "service-" + s.Name, allow: s.Permissions, command: s.Command, service: asService{is: true, sockets: handed, limits: s.Limits}}
		boxed := !program.Runtime.IsZero()
		if folders.Credentials, err = o.private(*credentials, "credentials", boxed); err != nil {
			return err
		}
		told, err := o.private(notifyFolder(), "notify", boxed)
		if err != nil {
			return err
		}
		args, env, err := s.Expand(folders)
		if err != nil {
			return err
		}
		o.env = env
		if err := configure(folders, s); err != nil {
			return err
		}
		if folders.Config != "" {
			o.dirs = append(o.dirs, folders.Config+":ro")
		}
		if told != "" {
			o.env = append(o.env, "NOTIFY_SOCKET="+filepath.Join(told, filepath.Base(os.Getenv("NOTIFY_SOCKET"))))
		}
		for _, dir := range []string{folders.State, folders.Cache, folders.Logs, folders.Runtime} {
			if dir != "" && dir != here {
				o.dirs = append(o.dirs, dir)
			}
		}
		if folders.State != "" { // it is also the current folder, which WebAssembly sees elsewhere
			o.dirs = append(o.dirs, folders.State)
		}
		if err := os.Chdir(here); err != nil {
			return err
		}
		return a.exec(ctx, program, trees, args, o)
	}
	return c
}
