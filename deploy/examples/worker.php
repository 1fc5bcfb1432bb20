<?php
/*
 * A Gatepost worker: one JSON line in for each event, one JSON line out.
 *
 *     [handler.app.command]
 *     run = ["php", "/etc/gatepost/worker.php"]
 *     mode = "worker"
 *
 * Standard output carries the answers and nothing else: write for yourself to STDERR.
 */

declare(strict_types=1);

ini_set('display_errors', 'stderr');

/** This event can never be handled: it goes to the dead letters. */
class Dead extends Exception
{
}

/** Not now: try again after so many seconds. */
class Later extends Exception
{
    public function __construct(public int $seconds)
    {
        parent::__construct();
    }
}

/** What you want to do. An event may come twice: `$event['id']` is then the same. */
function handle(array $event): void
{
    if (!array_key_exists('payload', $event)) {
        throw new Dead('the body is not JSON');
    }
    fwrite(STDERR, "{$event['type']} {$event['id']}\n");
}

function answer(array $event): array
{
    try {
        handle($event);
    } catch (Dead $err) {
        return ['id' => $event['id'], 'dead' => $err->getMessage()];
    } catch (Later $err) {
        return ['id' => $event['id'], 'retry_after' => $err->seconds];
    } catch (Throwable $err) { // Anything else is tried again.
        return ['id' => $event['id'], 'ok' => false, 'error' => $err->getMessage()];
    }
    return ['id' => $event['id'], 'ok' => true];
}

// Ends when Gatepost closes the input.
while (($line = fgets(STDIN)) !== false) {
    $event = json_decode($line, true, 512, JSON_THROW_ON_ERROR | JSON_BIGINT_AS_STRING);
    $flags = JSON_THROW_ON_ERROR | JSON_INVALID_UTF8_SUBSTITUTE;
    fwrite(STDOUT, json_encode(answer($event), $flags) . "\n");
    fflush(STDOUT);
}
