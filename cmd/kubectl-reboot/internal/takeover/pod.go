package takeover

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
)

// pod takes over where kured's pods run and what they carry; not what they may do, nor how much they may use, for that is rebootd's own.
func (b *builder) pod() {
	spec, meta := b.d.Spec.Template.Spec, b.d.Spec.Template
	put(b.All, "nodeSelector", spec.NodeSelector)
	if spec.Affinity != nil {
		b.All["affinity"] = spec.Affinity
	}
	tolerations := spec.Tolerations
	if len(tolerations) == 0 {
		// The chart takes none for all. This one every pod of a DaemonSet has anyway, so it adds no node.
		tolerations = []corev1.Toleration{{Key: corev1.TaintNodeUnschedulable, Operator: corev1.TolerationOpExists, Effect: corev1.TaintEffectNoSchedule}}
	}
	b.All["tolerations"] = tolerations
	if spec.PriorityClassName != "" {
		b.All["priorityClassName"] = spec.PriorityClassName
	}
	if spec.HostNetwork {
		b.All["hostNetwork"] = true
	}
	if spec.DNSPolicy != "" && spec.DNSPolicy != corev1.DNSClusterFirst {
		b.All["dnsPolicy"] = string(spec.DNSPolicy)
	}
	put(b.All, "podAnnotations", without(meta.Annotations, "kubectl.kubernetes.io/", "checksum/"))
	put(b.All, "podLabels", without(meta.Labels, "app.kubernetes.io/", "helm.sh/", "name", "app", "release"))
	if b.d.Spec.UpdateStrategy.Type == "OnDelete" {
		b.All["updateStrategy"] = "OnDelete"
	}
	b.volumes()
	if len(spec.InitContainers) > 0 {
		b.step("", "kured's pods have init containers, which aren't in the values; see initContainers.")
	}
	if len(spec.Containers) > 1 {
		b.step("", "kured's pods have further containers, which rebootd's have not.")
	}
}

// without are the entries whose keys aren't, or begin with what ends in a slash of, these.
func without(m map[string]string, keys ...string) map[string]string {
	left := map[string]string{}
	for k, v := range m {
		if !slices.ContainsFunc(keys, func(no string) bool { return k == no || strings.HasSuffix(no, "/") && strings.HasPrefix(k, no) }) {
			left[k] = v
		}
	}
	return left
}

// volumes takes over what isn't the directory of the sentinel file: certificates, and what the Prometheus wants.
func (b *builder) volumes() {
	var mounts []corev1.VolumeMount
	var volumes []corev1.Volume
	for _, v := range b.d.Spec.Template.Spec.Volumes {
		i := slices.IndexFunc(b.c.VolumeMounts, func(m corev1.VolumeMount) bool { return m.Name == v.Name })
		if i < 0 || v.HostPath != nil {
			continue
		}
		volumes = append(volumes, v)
		for _, m := range b.c.VolumeMounts[i:] {
			if m.Name == v.Name {
				mounts = append(mounts, m)
			}
		}
		if v.Secret != nil {
			b.copySecret(v.Secret.SecretName)
		}
		if v.ConfigMap != nil {
			b.copyConfigMap(v.ConfigMap.Name)
		}
	}
	put(b.All, "volumes", volumes)
	put(b.All, "volumeMounts", mounts)
	for _, m := range b.c.VolumeMounts {
		i := slices.IndexFunc(b.d.Spec.Template.Spec.Volumes, func(v corev1.Volume) bool { return v.Name == m.Name && v.HostPath != nil })
		if i < 0 {
			continue
		}
		switch host := b.d.Spec.Template.Spec.Volumes[i].HostPath.Path; strings.TrimSuffix(host, "/") {
		case "/var/run", "/run", "/sentinel":
		default:
			if !strings.HasPrefix(b.sentinelDir(), host) {
				b.step("", "kured's pods see %s of the host at %s; rebootd's only see the directory of the sentinel file. See volumes and volumeMounts.", host, m.MountPath)
			}
		}
	}
}

func (b *builder) sentinelDir() string {
	v, _ := b.configuration["rebootSentinel"].(string)
	return v
}
