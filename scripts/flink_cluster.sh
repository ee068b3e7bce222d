#!/usr/bin/env bash
# A Flink cluster on this machine until Ctrl-C: a job manager and task managers of one slot each, on the loopback
# interface. For trying out beam.master: a real one comes from Flink's own distribution.
#   scripts/flink_cluster.sh [PORT of the REST API [task managers]]
set -euo pipefail
cd "$(dirname "$0")/.."
rest_port=${1:-8081} task_managers=${2:-2}
libraries=$PWD/.job_servers/flink/lib
[ -d "$libraries" ] || { echo "no Flink in $libraries: run make job-server-flink" >&2; exit 1; }
command -v java >/dev/null || { echo "no Java: apt install openjdk-17-jre-headless" >&2; exit 1; }
for port in "$rest_port" $((rest_port + 1)); do
    if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then
        echo "port $port is taken: scripts/flink_cluster.sh PORT takes another one, and the next after it" >&2
        exit 1
    fi
done

conf=$(mktemp -d)
pids=()
stop() {
    trap - EXIT
    [ ${#pids[@]} -eq 0 ] || kill "${pids[@]}" 2>/dev/null || true
    wait
    rm -rf "$conf"
}
trap stop EXIT
trap 'exit 0' INT TERM

# The memory of a task manager is written out: Flink's own start script, which would compute it, is not on Maven Central.
# A pipeline of TFX has so many stages at once that 512 buffers for each, Flink's default, do not suffice.
cat >"$conf/config.yaml" <<END
jobmanager.rpc.address: localhost
jobmanager.rpc.port: $((rest_port + 1))
jobmanager.bind-host: localhost
rest.address: localhost
rest.bind-address: localhost
rest.port: $rest_port
taskmanager.host: localhost
taskmanager.bind-host: localhost
taskmanager.numberOfTaskSlots: 1
taskmanager.cpu.cores: 1.0
taskmanager.memory.framework.heap.size: 128m
taskmanager.memory.framework.off-heap.size: 128m
taskmanager.memory.task.heap.size: 512m
taskmanager.memory.task.off-heap.size: 0m
taskmanager.memory.network.min: 256m
taskmanager.memory.network.max: 256m
taskmanager.network.sort-shuffle.min-buffers: 64
taskmanager.memory.managed.size: 256m
taskmanager.memory.jvm-metaspace.size: 256m
taskmanager.memory.jvm-overhead.min: 192m
taskmanager.memory.jvm-overhead.max: 192m
END

opened=()
for package in java.lang java.lang.invoke java.net java.nio java.util java.util.concurrent; do
    opened+=("--add-opens=java.base/$package=ALL-UNNAMED")
done
# Warnings and errors only: Flink would write hundreds of lines into the terminal that the cluster was started from.
flink() { exec java "${opened[@]}" -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -Xmx1g -cp "$libraries/*" "org.apache.flink.runtime.$1" --configDir "$conf"; }

flink entrypoint.StandaloneSessionClusterEntrypoint &
pids+=($!)
for _ in $(seq "$task_managers"); do
    flink taskexecutor.TaskManagerRunner &
    pids+=($!)
done
echo "Flink: http://localhost:$rest_port, $task_managers task managers" >&2
# Whichever ends first ends all.
wait -n
