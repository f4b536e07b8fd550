package main

import (
	"context"
	"fmt"
	"os"
	"time"

	cri "k8s.io/cri-client/pkg"
)

// removePods asks the container runtime to end and forget every pod, networks and mounts included, so that a node
// that is taken down leaves nothing behind. Pods get no grace: the node is going away.
func removePods(arguments []string) int {
	if len(arguments) != 1 {
		fmt.Fprintln(os.Stderr, "usage: kube remove-pods unix:///path/of/the/runtime.sock")
		return 2
	}
	ctx := context.Background()
	runtime, err := cri.NewRemoteRuntimeService(arguments[0], time.Minute, nil, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	pods, err := runtime.ListPodSandbox(ctx, nil)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	failed := 0
	for _, pod := range pods {
		// Removing stops first where needed; an error of stopping shows in removing.
		_ = runtime.StopPodSandbox(ctx, pod.Id)
		if err := runtime.RemovePodSandbox(ctx, pod.Id); err != nil {
			fmt.Fprintf(os.Stderr, "%s/%s: %v\n", pod.Metadata.Namespace, pod.Metadata.Name, err)
			failed = 1
		}
	}
	fmt.Printf("%d pods removed\n", len(pods))
	return failed
}
