# What a systemd is asked to do with Gatepost. The test reads `results` line by line.
cd /run/test
exec 2>log
set -x
say() { echo "$*" >> results; }
of() { systemctl show -P "$1" gatepost.service; }
send() { gatepost send --config config.toml hyvor comment.create >/dev/null; }

systemctl start gatepost.socket gatepost.service
say "start $? $(of ActiveState)"
say "type $(of Type)"
say "memory $(of MemoryMax)"
send
say "send $?"

systemctl reload gatepost.service
say "reload $? $(of ActiveState)"
echo 'nonsense = 1' >> config.toml
systemctl reload gatepost.service
say "wrong-reload $?"
sed -i '/nonsense/d' config.toml

# Through the socket nobody is refused.
(
  failed=0
  while [ ! -e stop ]; do
    send || failed=$((failed + 1))
  done
  say "refused $failed"
) &
for restart in 1 2 3; do
  systemctl restart gatepost.service
  say "restart $? $(of ActiveState)"
done
touch stop
wait

# A program that is under way at a stop is let finish.
cat slow.toml >> config.toml
systemctl restart gatepost.service
gatepost send --config config.toml hyvor comment.delete >/dev/null
for tenth in $(seq 300); do
  grep -q began /var/lib/gatepost/slow && break
  sleep 0.1
done
systemctl restart gatepost.service
say "slow $(of OOMPolicy) $(echo $(cat /var/lib/gatepost/slow))"

# A process that stands still is started again.
before=$(of MainPID)
systemctl kill -s STOP gatepost.service
for second in $(seq 60); do
  [ "$(of MainPID)" != "$before" ] && [ "$(of ActiveState)" = active ] && break
  sleep 1
done
say "watchdog $(of NRestarts) $(of ActiveState)"
grep -q 'process is shut in' service.log && say 'shut in' || say 'not shut in'

# A standby's copy in the gateway's place, as the standby's unit would hold it.
gatepost standby --from http://127.0.0.1:8081 --token-file /var/lib/gatepost/standby-token --data copy >copy.log &
standby=$!
until grep -q 'has all' copy.log; do kill -0 $standby || break; sleep 0.1; done
kill $standby
systemctl stop gatepost.service gatepost.socket
say "stop $? $(of Result)"
state=/var/lib/private/gatepost
rm -r $state/queue
mv copy/queue $state/queue
chown -R "$(stat -c %u:%g $state)" $state/queue
gatepost standby promote --data /var/lib/gatepost || say 'root may not promote'
systemctl start gatepost-promote.service
say "promote $? $(systemctl show -P Result gatepost-promote.service)"
systemctl start gatepost.service
say "promoted $? $(of ActiveState)"
systemctl stop gatepost.service gatepost.socket
say "stop $? $(of Result)"
