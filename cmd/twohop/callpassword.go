package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/twohop/twohop/cmd/twohop/config"
	"github.com/twohop/twohop/rpcclient-sdk"
)

// passwordFlags name one of a method's passwords. The secret itself is never a flag: everybody on the machine can read command
// lines.
type passwordFlags struct {
	key       uint32
	file, env string
}

func (f *passwordFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.Uint32Var(&f.key, "password-key", 0, "`number` of a password that the rules want for this method")
	flags.StringVar(&f.file, "password-file", "", "`file` with that password, which others cannot read")
	flags.StringVar(&f.env, "password-env", "", "the environment `variable` that has that password")
}

// read returns the option that the flags ask for, nil if they ask for none.
func (f *passwordFlags) read(cmd *cobra.Command) (option rpcclient.CallOption, err error) {
	keyed := cmd.Flags().Changed("password-key")
	var secret string
	switch {
	case f.file == "" && f.env == "" && keyed:
		return nil, errors.New("--password-key says which password it is, and not what it is: --password-file or --password-env has it")
	case f.file == "" && f.env == "":
		return nil, nil //nolint:nilnil // no password is wanted
	case !keyed:
		return nil, errors.New("--password-key is missing: it is the id of the key in the rule that wants the password")
	case f.file != "" && f.env != "":
		return nil, errors.New("--password-file and --password-env both have the password: give one of them")
	case f.file != "":
		if secret, err = config.ReadSecret(f.file); err != nil {
			return nil, fmt.Errorf("--password-file: %w", err)
		}
	default:
		if secret = os.Getenv(f.env); secret == "" {
			return nil, fmt.Errorf("--password-env: the variable %s is not set", f.env)
		}
	}
	return rpcclient.Password(f.key, secret), nil
}
