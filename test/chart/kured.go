package main

// kuredKey is a key below `configuration` in kured's chart, and what becomes of it here. As soon as the option table has its flag it is
// rendered like any other.
type kuredKey struct {
	key string
	// Template: its value is a template there, and so it is here.
	Template bool `json:"-"`
	// Instead is the name to use instead, for those that are only kept for kured's users.
	Instead string `json:"instead,omitempty"`
	// Refuse: without the flag, a value is refused, because a reboot would depend on it. Else it is passed over, and the notes say so.
	Refuse bool `json:"refuse,omitempty"`
}

// kuredKeys are all keys below `configuration` of kured's chart 6.1.0 that stand for a flag.
func kuredKeys() []kuredKey {
	const hold = true
	var keys []kuredKey
	for _, key := range []string{
		"metricsHost", "metricsPort", "lockTtl", "endTime", "period", "drainGracePeriod", "drainPodSelector", "drainDelay", "drainTimeout",
		"skipWaitForDeleteTimeout", "rebootDays", "rebootSentinel", "rebootSentinelCommand", "rebootCommand", "rebootDelay", "rebootMethod",
		"rebootSignal", "startTime", "timeZone", "logFormat", "concurrency",
	} {
		keys = append(keys, kuredKey{key: key, Refuse: hold})
	}
	return append(keys,
		kuredKey{key: "lockReleaseDelay", Refuse: hold, Instead: "settleTime"},
		kuredKey{key: "alertFilterRegexp", Refuse: hold},
		kuredKey{key: "alertFiringOnly", Refuse: hold},
		kuredKey{key: "alertFilterMatchOnly", Refuse: hold},
		kuredKey{key: "blockingPodSelector", Refuse: hold},
		kuredKey{key: "prometheusUrl", Refuse: hold},
		kuredKey{key: "forceReboot", Refuse: hold, Instead: "onDrainTimeout: reboot"},
		kuredKey{key: "lockAnnotation"},
		kuredKey{key: "annotateNodes"},
		kuredKey{key: "preferNoScheduleTaint"},
		kuredKey{key: "preRebootNodeLabels", Refuse: hold},
		kuredKey{key: "postRebootNodeLabels", Refuse: hold},
		kuredKey{key: "notifyUrl"},
		kuredKey{key: "slackHookUrl", Template: true, Instead: "notifyUrl"},
		kuredKey{key: "slackChannel", Template: true, Instead: "notifyUrl"},
		kuredKey{key: "slackUsername", Template: true, Instead: "notifyUrl"},
		kuredKey{key: "messageTemplateDrain"},
		kuredKey{key: "messageTemplateReboot"},
		kuredKey{key: "messageTemplateUncordon"},
	)
}
