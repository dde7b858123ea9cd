#!/bin/bash
# Slurm with two nodes of one fake GPU each, in namespaces of its own: slurm_cluster.sh FOLDER
# It ends, with all that it started, when its standard input is closed.
set -eu
folder=$1
mount --make-rprivate /
hostname slurmbox
# with addresses of loopback alone, slurmctld does not resolve its own name
ip link set lo up
ip addr add 10.77.0.1/24 dev lo
cp /etc/hosts "$folder/hosts"
echo "10.77.0.1 slurmbox" >>"$folder/hosts"
mount --bind "$folder/hosts" /etc/hosts
mkdir -p /run/munge
mount -t tmpfs tmpfs /run/munge
dd if=/dev/urandom of=/run/munge/key bs=1024 count=1 2>/dev/null
chmod 400 /run/munge/key
chown munge: /run/munge /run/munge/key
setpriv --reuid munge --regid munge --clear-groups munged --force --key-file=/run/munge/key \
  --log-file=/run/munge/log --pid-file=/run/munge/pid --seed-file=/run/munge/seed
mkdir -p "$folder/state" "$folder/log"
for number in 0 1; do mknod "$folder/gpu$number" c 1 3; done
cat >"$folder/slurm.conf" <<END
ClusterName=test
SlurmctldHost=slurmbox(10.77.0.1)
SlurmUser=root
SlurmdUser=root
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool-%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd-%n.pid
SlurmctldLogFile=$folder/log/slurmctld
SlurmdLogFile=$folder/log/slurmd-%n
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,bf_interval=1,requeue_delay=0
MpiDefault=none
SwitchType=switch/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
GresTypes=gpu
KillWait=2
MinJobAge=3600
SlurmdParameters=config_overrides
ReturnToService=2
SlurmdTimeout=10
NodeName=n1 NodeAddr=10.77.0.1 NodeHostname=slurmbox Port=17001 CPUs=4 RealMemory=32000 Gres=gpu:1
NodeName=n2 NodeAddr=10.77.0.1 NodeHostname=slurmbox Port=17002 CPUs=4 RealMemory=32000 Gres=gpu:1
PartitionName=main Nodes=n1,n2 Default=YES MaxTime=INFINITE State=UP
END
cat >"$folder/gres.conf" <<END
NodeName=n1 Name=gpu File=$folder/gpu0
NodeName=n2 Name=gpu File=$folder/gpu1
END
export SLURM_CONF=$folder/slurm.conf
# daemons that keep the output would keep the pipe of the test
slurmctld -f "$SLURM_CONF" >/dev/null 2>&1
for node in n1 n2; do slurmd -N $node -f "$SLURM_CONF" >/dev/null 2>&1; done
for _ in $(seq 100); do
  [ "$(sinfo --noheader --format=%T 2>/dev/null)" = idle ] && break
  sleep 0.1
done
echo ready
# commands come from standard input, a line each; each answers with its status after its output
while IFS= read -r line; do
  status=0
  bash -c "$line" </dev/null >"$folder/out" 2>"$folder/err" || status=$?
  echo "$status"
done
