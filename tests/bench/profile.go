package main

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime/pprof"
	"time"
)

// profileVariable tells the roles of this program in which folder to write their processor profiles.
const profileVariable = "BENCH_PROFILES"

// profileMyself profiles this process until stop, if that is wanted.
func profileMyself(role string) (stop func(), err error) {
	dir := os.Getenv(profileVariable)
	if dir == "" {
		return func() {}, nil
	}
	f, err := os.Create(filepath.Join(dir, fmt.Sprintf("%s-%d.pprof", role, os.Getpid())))
	if err != nil {
		return nil, err
	}
	if err := pprof.StartCPUProfile(f); err != nil {
		return nil, err
	}
	return func() {
		pprof.StopCPUProfile()
		_ = f.Close()
	}, nil
}

// profileNodes fetches a profile of the next second of each node of twohop from its operators' listener.
func (b *bench) profileNodes(of *rig, r *result) {
	if b.profiles == "" {
		return
	}
	for i, admin := range of.admins {
		name := fmt.Sprintf("%s-%s-%s-%d.pprof", of.brokers[i].name, r.point, r.contender.name, len(r.rounds))
		go func() {
			if err := fetch("http://"+admin+"/debug/pprof/profile?seconds=1", filepath.Join(b.profiles, name)); err != nil {
				fmt.Fprintln(os.Stderr, "bench: no profile:", err)
			}
		}()
	}
}

func fetch(url, path string) error {
	client := http.Client{Timeout: 10 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", url, answer.Status)
	}
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	if _, err := io.Copy(f, answer.Body); err != nil {
		return err
	}
	return f.Close()
}
