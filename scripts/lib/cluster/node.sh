#!/usr/bin/env bash
# node.sh DIR CGROUP COMMAND…: a Kubernetes of one node, all of its files below DIR and its processes below
# CGROUP; runs COMMAND when the node is ready. It has to be started in network, mount and process namespaces of its
# own (scripts/test-cluster does), and is gone with them.
#
# Not there: kube-proxy, cluster DNS and the enforcement of NetworkPolicies. Pods reach servers by the node's address.
set -euo pipefail
umask 022
dir=$1 cgroup=$2
shift 2
address=10.77.0.1
: "${LIFEBOAT_TEST_KUBERNETES:?scripts/services get cluster}" "${LIFEBOAT_TEST_ETCD:?}" "${LIFEBOAT_TEST_CONTAINERD:?}" "${LIFEBOAT_TEST_CNI:?}"
export PATH=$LIFEBOAT_TEST_KUBERNETES:$LIFEBOAT_TEST_CONTAINERD:$PATH
cd "$dir"

fail() {
  echo "node: error: $1" >&2
  for log in "${@:2}"; do tail -n 15 "$log" | cut -c 1-300 | sed "s#^#  | ${log##*/}: #" >&2; done
  exit 1
}

# What runtimes leave in /run stays in here.
mount -t tmpfs tmpfs /run
ip link set lo up
ip link add node0 type veth peer name node1
ip address add "$address/24" dev node0
ip link set node0 up
ip link set node1 up
echo 1 >/proc/sys/net/ipv4/ip_forward
# kubelet insists on these values: it is shown them, and the machine's stay as they are.
for setting in vm/overcommit_memory=1 vm/panic_on_oom=0 kernel/panic=10 kernel/panic_on_oops=1; do
  file=$dir/sysctl-${setting##*/}
  echo "${setting#*=}" >"${file%=*}"
  mount --bind "${file%=*}" "/proc/sys/${setting%=*}"
done

# A hierarchy for each controller (v1), or one for all (v2)
if [[ -e /sys/fs/cgroup/cgroup.controllers ]]; then
  sed 's/[^ ]*/+&/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control || true
  mkdir -p "/sys/fs/cgroup/$cgroup"
  sed 's/[^ ]*/+&/g' "/sys/fs/cgroup/$cgroup/cgroup.controllers" >"/sys/fs/cgroup/$cgroup/cgroup.subtree_control" || true
else
  for controller in /sys/fs/cgroup/*/; do mkdir -p "$controller$cgroup"; done
  for file in cpuset.cpus cpuset.mems; do
    cat "/sys/fs/cgroup/cpuset/$file" >"/sys/fs/cgroup/cpuset/$cgroup/$file"
  done
fi

mkdir -p cni logs
cat >cni/10-pods.conflist <<END
{"cniVersion": "0.4.0", "name": "pods", "plugins": [{"type": "ptp", "ipMasq": false, "ipam": {"type": "host-local",
 "dataDir": "$dir/addresses", "ranges": [[{"subnet": "10.99.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}}]}
END
cat >containerd.toml <<END
version = 2
root = "$dir/containerd"
state = "$dir/containerd-state"
[grpc]
  address = "$dir/containerd.sock"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "${LIFEBOAT_TEST_CLUSTER_PAUSE:?}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  disable_hugetlb_controller = true
  tolerate_missing_hugetlb_controller = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$LIFEBOAT_TEST_CNI"
    conf_dir = "$dir/cni"
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
END

# Who may speak to whom: two tokens for the API server, and its certificate for the kubelet
openssl genrsa -out accounts.key 2048 2>/dev/null
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -days 2 -subj /CN=kubelet-clients 2>/dev/null
openssl req -newkey rsa:2048 -nodes -keyout client.key -out client.csr -subj /CN=apiserver 2>/dev/null
openssl x509 -req -in client.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -out client.crt 2>/dev/null
admin=$(openssl rand -hex 16) node=$(openssl rand -hex 16)
(umask 077 && printf '%s,admin,1,"system:masters"\n%s,system:node:node1,2,"system:nodes"\n' "$admin" "$node" >tokens.csv)
# kubeconfig FILE TOKEN
kubeconfig() {
  (umask 077 && cat >"$1") <<END
apiVersion: v1
kind: Config
clusters: [{name: c, cluster: {server: "https://127.0.0.1:6443", certificate-authority: $dir/certificates/apiserver.crt}}]
users: [{name: u, user: {token: $2}}]
contexts: [{name: x, context: {cluster: c, user: u}}]
current-context: x
END
}
kubeconfig admin.conf "$admin"
kubeconfig node.conf "$node"
cat >kubelet.yaml <<END
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
containerRuntimeEndpoint: unix://$dir/containerd.sock
cgroupDriver: cgroupfs
cgroupRoot: /$cgroup
failSwapOn: false
imageGCHighThresholdPercent: 100
failCgroupV1: false
oomScoreAdj: 0
address: $address
readOnlyPort: 0
healthzPort: 0
authentication: {anonymous: {enabled: false}, webhook: {enabled: false}, x509: {clientCAFile: $dir/ca.crt}}
authorization: {mode: AlwaysAllow}
makeIPTablesUtilChains: false
resolvConf: ""
enableControllerAttachDetach: false
podLogsDir: $dir/pod-logs
syncFrequency: 10s
evictionHard: {memory.available: 100Mi, nodefs.available: "1%", imagefs.available: "1%", nodefs.inodesFree: "1%"}
END

"$LIFEBOAT_TEST_ETCD" --data-dir etcd --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
  --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 \
  --initial-cluster default=http://127.0.0.1:2380 --unsafe-no-fsync >logs/etcd 2>&1 &
containerd -c containerd.toml >logs/containerd 2>&1 &
kube-apiserver --etcd-servers=http://127.0.0.1:2379 --bind-address=127.0.0.1 --secure-port=6443 --cert-dir=certificates \
  --token-auth-file=tokens.csv --authorization-mode=Node,RBAC --endpoint-reconciler-type=none --advertise-address="$address" \
  --service-account-issuer=https://kubernetes.default.svc --service-account-signing-key-file=accounts.key \
  --service-account-key-file=accounts.key --service-cluster-ip-range=10.98.0.0/24 --allow-privileged=true \
  --enable-admission-plugins=NodeRestriction --kubelet-client-certificate=client.crt --kubelet-client-key=client.key \
  --kubelet-preferred-address-types=InternalIP >logs/apiserver 2>&1 &
export KUBECONFIG=$dir/admin.conf
for ((i = 0; i < 300; i++)); do
  if kubectl get --raw /readyz >/dev/null 2>&1; then break; fi
  sleep 0.2
done
((i < 300)) || fail 'the API server does not get ready' logs/etcd logs/apiserver
kube-controller-manager --kubeconfig=admin.conf --secure-port=0 --leader-elect=false --use-service-account-credentials=true \
  --service-account-private-key-file=accounts.key --root-ca-file=certificates/apiserver.crt --controllers='*,-nodeipam' >logs/controllers 2>&1 &
kube-scheduler --kubeconfig=admin.conf --secure-port=0 --leader-elect=false >logs/scheduler 2>&1 &
ctr -a "$dir/containerd.sock" -n k8s.io images import --snapshotter overlayfs "$LIFEBOAT_TEST_CLUSTER_IMAGES" >logs/import 2>&1 ||
  fail 'the images cannot be imported' logs/import logs/containerd
kubelet --config=kubelet.yaml --kubeconfig=node.conf --root-dir="$dir/kubelet" --hostname-override=node1 --node-ip="$address" \
  --cert-dir="$dir/kubelet/pki" >logs/kubelet 2>&1 &
for ((i = 0; i < 450; i++)); do
  if [[ $(kubectl get node node1 -o jsonpath='{.status.conditions[?(@.type=="Ready")].status}' 2>/dev/null) == True ]]; then break; fi
  sleep 0.2
done
((i < 450)) || fail 'the node does not get ready' logs/kubelet logs/containerd

export LIFEBOAT_TEST_ADDRESS=$address LIFEBOAT_TEST_CLUSTER_DIR=$dir LIFEBOAT_TEST_CLUSTER_CGROUP=$cgroup
status=0
"$@" || status=$?
exit "$status"
