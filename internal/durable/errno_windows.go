package durable

import "syscall"

const (
	errDiskFull = syscall.Errno(112)  // ERROR_DISK_FULL
	errQuota    = syscall.Errno(1295) // ERROR_DISK_QUOTA_EXCEEDED
)
