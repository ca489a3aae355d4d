package host

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

func TestRunInHost(t *testing.T) {
	t.Setenv("SECRET_OF_THE_POD", "x")
	h, ns := fakeHost(t)
	r := h.Run(t.Context(), []string{"rebootd-say"}, time.Minute)
	if r.Err != nil || !r.Started || !r.Exited {
		t.Fatalf("%+v", r)
	}
	want := "here\n/\n" + ns + "\nHOME=/root\nLANG=C.UTF-8\nPATH=" + hostPath + "\nPWD=/\n"
	if r.Output != want {
		t.Errorf("got:\n%s\nwant:\n%s", r.Output, want)
	}
	if readlink(t, "/proc/thread-self/ns/mnt") == ns {
		t.Error("the caller is in the host's namespace")
	}
}

func TestNotStarted(t *testing.T) {
	h, _ := fakeHost(t)
	gone := New(Options{MountNS: "/no/such/ns"})
	notNS := New(Options{MountNS: "/proc/self/comm"})
	for name, c := range map[string]struct {
		h    *Host
		argv []string
		want string
	}{
		"only in the host":    {ownHost(), []string{"rebootd-say"}, "rebootd-say in the agent's own mount namespace: not started: executable file not found"},
		"nowhere":             {h, []string{"rebootd-none"}, "rebootd-none in the host's mount namespace: not started: executable file not found"},
		"not executable":      {h, []string{markerFile}, "permission denied"},
		"directory":           {h, []string{"/usr"}, "is a directory"},
		"no such file":        {h, []string{"/no/such file"}, "'/no/such file' in the host's mount namespace"},
		"interpreter missing": {h, []string{"rebootd-orphan"}, "interpreter"},
		"empty":               {h, nil, "the command is empty"},
		"empty name":          {h, []string{""}, "name is empty"},
		"unknown namespace":   {New(Options{Namespace: "pod"}), []string{"true"}, "--command-namespace"},
		"namespace gone":      {gone, []string{"true"}, "--command-namespace"},
		"not a namespace":     {notNS, []string{"true"}, "setns: invalid argument"},
	} {
		t.Run(name, func(t *testing.T) {
			r := c.h.Run(t.Context(), c.argv, time.Minute)
			wantErr(t, r.Err, c.want)
			if r.Started || r.Exited || !r.Failed() {
				t.Errorf("%+v", r)
			}
		})
	}
}

func TestLookup(t *testing.T) {
	h, _ := fakeHost(t)
	for _, name := range []string{"rebootd-say", "/usr/local/sbin/rebootd-say", "usr/local/sbin/rebootd-say"} {
		if err := h.Lookup(name); err != nil {
			t.Error(err)
		}
	}
	wantErr(t, ownHost().Lookup("rebootd-say"), "rebootd-say in the agent's own mount namespace", "not found")
	if err := ownHost().Lookup("sh"); err != nil {
		t.Error(err)
	}
	t.Setenv("PATH", "/nowhere")
	wantErr(t, ownHost().Lookup("sh"), "/nowhere")
	if err := h.Lookup("sh"); err != nil {
		t.Error("the agent's PATH counts in the host:", err)
	}
}

// Everything else in the process stays where it is, and so does the main thread, which stands for it.
func TestOthersStay(t *testing.T) {
	h, ns := fakeHost(t)
	own := readlink(t, "/proc/self/ns/mnt")
	ctx, cancel := context.WithCancel(t.Context())
	var watchers, runs sync.WaitGroup
	for range 4 {
		watchers.Go(func() {
			for ctx.Err() == nil {
				time.Sleep(time.Millisecond)
				if _, err := os.Stat(markerFile); err == nil {
					t.Error("a bystander sees the host's files")
				}
				if got, _ := os.Readlink("/proc/self/ns/mnt"); got != own {
					t.Errorf("main thread is in %s", got)
				}
			}
		})
	}
	for range 20 {
		runs.Go(func() {
			for range 10 {
				if r := h.Run(ctx, sh("readlink /proc/self/ns/mnt"), time.Minute); r.Output != ns+"\n" || r.Err != nil {
					t.Errorf("in the host: %+v, want %s", r, ns)
				}
				if r := ownHost().Run(ctx, sh("readlink /proc/self/ns/mnt"), time.Minute); r.Output != own+"\n" || r.Err != nil {
					t.Errorf("in its own: %+v, want %s", r, own)
				}
			}
		})
	}
	runs.Wait()
	cancel()
	watchers.Wait()
	eventually(t, "all threads are where they were", func() bool {
		threads, err := filepath.Glob("/proc/self/task/*/ns/mnt")
		if err != nil {
			t.Fatal(err)
		}
		for _, thread := range threads {
			if got, err := os.Readlink(thread); err == nil && got != own {
				return false
			}
		}
		return true
	})
}

func TestFreshThread(t *testing.T) {
	for range 200 {
		err := onFreshThread(func() error {
			if syscall.Gettid() == os.Getpid() {
				t.Error("on the main thread")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// Run as nobody in a process of its own: the error says what is missing.
func TestUnprivileged(t *testing.T) {
	const flag = "REBOOTD_TEST_UNPRIVILEGED"
	if os.Getenv(flag) != "" {
		h := New(Options{})
		h.initComm = "/proc/self/comm"
		r := h.Run(t.Context(), []string{"true"}, time.Minute)
		wantErr(t, r.Err, "hostPID", "privileged", "--command-namespace=own", defaultMountNS)
		if r.Started {
			t.Error("started")
		}
		return
	}
	if os.Geteuid() != 0 {
		t.Skip("needs root, to become nobody")
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestUnprivileged$", "-test.v")
	cmd.Env = append(os.Environ(), flag+"=1")
	cmd.Dir = "/"
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: TestUnprivileged") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestNeedsHostPID(t *testing.T) {
	pause := New(Options{})
	pause.initComm = writeFile(t, "pause\n")
	wantErr(t, pause.Run(t.Context(), []string{"true"}, 0).Err, "pause", "hostPID", "--command-namespace=own")
	self := New(Options{})
	self.getpid = func() int { return 1 }
	wantErr(t, self.Lookup("true"), "PID 1 is this agent itself", "hostPID", "--command-namespace=own")
}

func TestReadFile(t *testing.T) {
	h, _ := fakeHost(t)
	if _, err := os.Stat(markerFile); err == nil {
		t.Fatalf("%s is here too", markerFile)
	}
	content, err := h.ReadFile(markerFile)
	if err != nil || len(content) == 0 {
		t.Errorf("got %q, %v", content, err)
	}
	_, err = ownHost().ReadFile(markerFile)
	wantErr(t, err, "reading "+markerFile+" in the agent's own mount namespace", "no such file")
	_, err = h.ReadFile("/usr")
	wantErr(t, err, "is a directory")
	big := writeFile(t, strings.Repeat("x", 100<<10))
	if content, err := ownHost().ReadFile(big); len(content) != 64<<10 || err != nil {
		t.Errorf("%d bytes, %v", len(content), err)
	}
	_, err = New(Options{MountNS: "/no/such/ns"}).ReadFile(markerFile)
	wantErr(t, err, "in the host's mount namespace", "--command-namespace")
}
