//go:build !linux

package peer

import (
	"fmt"
	"os"
)

// lockDir opens the file and locks nothing: that two nodes share a folder is noticed on Linux only.
func lockDir(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("data_dir: %w", err)
	}
	return f, nil
}
