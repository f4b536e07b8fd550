{{/*
The name of the operator's objects. A release called "outbox" gives "outbox-operator", not "outbox-outbox-operator".
*/}}
{{- define "outbox-operator.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if hasPrefix .Release.Name $name -}}
{{- $name | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "outbox-operator.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "outbox-operator.labels" -}}
{{- $own := dict
      "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
      "app.kubernetes.io/version" (.Chart.AppVersion | toString)
      "app.kubernetes.io/component" "operator"
      "app.kubernetes.io/part-of" "django-outbox"
      "app.kubernetes.io/managed-by" .Release.Service -}}
{{- $own = merge $own (include "outbox-operator.selectorLabels" . | fromYaml) -}}
{{- merge $own .Values.commonLabels | toYaml -}}
{{- end -}}

{{- define "outbox-operator.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "outbox-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{- define "outbox-operator.image" -}}
{{- $repository := required "image.repository is not set: build the operator's image with operator/Dockerfile, push it to your registry and pass --set image.repository=registry.example.com/outbox-operator" .Values.image.repository -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" $repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/*
What the operator may do where its resources live: exactly the calls it makes.
*/}}
{{- define "outbox-operator.rules" -}}
- apiGroups: [djangooutbox.io]
  resources: [publishers, subscriptions]
  verbs: [get, list, watch]
- apiGroups: [djangooutbox.io]
  resources: [publishers/status, subscriptions/status]
  verbs: [patch]
# Only asked for where the admission plugin OwnerReferencesPermissionEnforcement is on: children carry blockOwnerDeletion.
- apiGroups: [djangooutbox.io]
  resources: [publishers/finalizers, subscriptions/finalizers]
  verbs: [update]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
# Beside each Deployment, removed when no longer wanted. Listed to find what somebody has edited.
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [get, list, create, patch, delete]
# For `spec.autoscaling`: KEDA's objects beside a Deployment. Where KEDA is not installed, these grant nothing.
- apiGroups: [keda.sh]
  resources: [scaledobjects, triggerauthentications]
  verbs: [get, create, patch, delete]
# Why a worker does not start is told by its pods.
- apiGroups: [""]
  resources: [pods]
  verbs: [list]
# Read by name, only those that a resource refers to: whether they exist, and when a change must roll the workers.
- apiGroups: [""]
  resources: [secrets, configmaps]
  verbs: [get]
- apiGroups: [""]
  resources: [events]
  verbs: [create]
{{- end -}}

{{/*
The settings of the operator, for its pods and for the pod of `helm test`.
*/}}
{{- define "outbox-operator.env" -}}
- name: OUTBOX_OPERATOR_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: OUTBOX_OPERATOR_POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
- name: OUTBOX_OPERATOR_WATCH_NAMESPACES
  value: {{ join "," .Values.watchNamespaces | quote }}
- name: OUTBOX_OPERATOR_LEADER_ELECTION
  value: {{ .Values.leaderElection.enabled | quote }}
- name: OUTBOX_OPERATOR_LEASE_NAME
  value: {{ include "outbox-operator.fullname" . }}
- name: OUTBOX_OPERATOR_PORT
  value: "8080"
- name: OUTBOX_OPERATOR_RESYNC_SECONDS
  value: {{ .Values.resyncSeconds | quote }}
- name: OUTBOX_OPERATOR_HOST_ACCESS
  value: {{ lower .Values.hostAccess }}
- name: OUTBOX_OPERATOR_LOG_LEVEL
  value: {{ .Values.log.level | quote }}
- name: OUTBOX_OPERATOR_LOG_FORMAT
  value: {{ .Values.log.format | quote }}
{{- with .Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end -}}
