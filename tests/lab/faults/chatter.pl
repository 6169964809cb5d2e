#!/usr/bin/perl
# A program that holds many connections open, and asks many short questions, each from a port of its own.
use strict;
use warnings;
use IO::Handle;
use Socket qw(:DEFAULT IPPROTO_TCP);

my ($hold, $ask) = @ARGV;
my $here = inet_aton("127.0.0.1");
socket(my $server, PF_INET, SOCK_STREAM, 0) or die "socket: $!";
setsockopt($server, SOL_SOCKET, SO_REUSEADDR, 1);
bind($server, sockaddr_in(7001, $here)) or die "bind: $!";
listen($server, 1024) or die "listen: $!";
$server->blocking(0);
# It takes the questions and answers none.
socket(my $deaf, PF_INET, SOCK_DGRAM, 0) or die "socket: $!";
bind($deaf, sockaddr_in(7002, $here)) or die "bind: $!";

# It gives up after 3 seconds, and tries anew.
my $tries = pack("i", 1);
my $tcp_syncnt = 7;
my (@held, @taken);
while (1) {
    @held = grep { !unpack("i", getsockopt($_, SOL_SOCKET, SO_ERROR)) } @held;
    while (@held < $hold) {
        socket(my $one, PF_INET, SOCK_STREAM, 0) or last;
        $one->blocking(0);
        setsockopt($one, IPPROTO_TCP, $tcp_syncnt, $tries);
        connect($one, sockaddr_in(7001, $here));
        push @held, $one;
        while (accept(my $peer, $server)) { push @taken, $peer }
    }
    while (accept(my $peer, $server)) { push @taken, $peer }
    for (1 .. $ask) {
        socket(my $one, PF_INET, SOCK_DGRAM, 0) or last;
        send($one, "?", 0, sockaddr_in(7002, $here));
    }
    sleep 2;
}
