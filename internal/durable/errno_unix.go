//go:build !windows

package durable

import "syscall"

const (
	errDiskFull = syscall.ENOSPC
	errQuota    = syscall.EDQUOT
)
