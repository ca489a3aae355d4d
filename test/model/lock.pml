/* Lock and record of rebootd, as a model for spin. `make model` checks it in the variants of model_test.go.
 *
 * An agent looks, decides one step (pkg/plan), takes it (pkg/agent, pkg/lock) and looks again. Between any two calls its process
 * may die or its machine lose power; any call may be refused, or carried out without an answer. A lost answer to the last call of
 * a step leads to the next look, as the answer does, and a first call that was refused is as good as none yet: so only
 * calls in mid-step have cases of their own. A write of the Node is tied to the version that was looked at: so looking at the
 * Node, deciding and writing is one step here.
 *
 * Left out: time (a delay is any delay), whose turn it is, health after the reboot, what is told, the control planes' slot,
 * a second agent for one node, the deletion of a Node.
 */
#ifndef NODES
#define NODES 3
#endif
#ifndef SLOTS
#define SLOTS 1
#endif
#ifdef CHANGE              /* the number of slots is being changed: each start of an agent may find 1 or 2 */
#define MOST 2
#else
#define MOST SLOTS
#endif
#ifdef FAULTS              /* so many crashes, failed calls and closed gates in all; without it any number */
byte faults = FAULTS;
#define fault faults > 0 -> faults--
#else
#define fault true
#endif
#ifdef ACTS                /* so many acts of people in all; without it any number */
byte acts = ACTS;
#define act acts > 0 -> acts--
#else
#define act true
#endif
#define ATTEMPTS 2         /* of the reboot command */

#ifndef MUTANT
#define MUTANT 0           /* what is broken on purpose, to prove that it is noticed: */
#endif
#define NO_FENCE 1         /* a step without a live read of the slot before it */
#define SPLIT_CORDON 2     /* the cordon first, and the record after that */
#define FREE_FIRST 3       /* the slot is freed before the uncordon */
#define FREE_BY_NAME 4     /* whatever Lease has the slot's name is deleted */
#define NO_DOUBT 5         /* a restarted agent believes that no reboot command was run */
#define RESTART_IS_BOOT 6  /* a restarted agent believes that the machine was rebooted */
#define FORGET_PERSON 7    /* a cordon that was there before is taken for our own */
#define NO_REREAD 8        /* the slot is kept without looking who was there before */
#define FORGET_SLOT 9      /* an idle agent doesn't free what an earlier process left */
#define NO_WAIT 10         /* a slot is asked for again and again while none is free */
#define TRUST_ALL 11       /* a slot is used that a process, this one or an earlier one, has begun to free */

mtype = { Idle, Required, Draining, Rebooting, Recovering, Settling, Aborting };
mtype = { none, ours, persons };
mtype = { unknown, notStarted, failed, done };

typedef Node {
	mtype phase = Idle;    /* the record */
	mtype cordon = none;
	byte attempts;
	bool issued;
	bool changed;          /* the boot ID differs from the record's */
	bool unschedulable;
	bool wanted = 1;       /* something asks for a reboot; a reboot clears it */
	bool goingDown;        /* a reboot command was accepted and takes effect some time */
	/* seen by nobody but the checks: */
	bool person;           /* a person's cordon is on */
	bool robbed;           /* a person deleted the Lease of its slot while it was out */
	bool checked;          /* its slot was held when the live read before the step was made */
	byte limit;            /* how many slots it knew of when it decided to keep its own */
	bool late;             /* the deletion of its slot, which it believes to have failed, is still to come */
	bool trusted;          /* this very process took its slot, and has not begun to free it */
};
Node node[NODES];
byte holder[2];            /* of each slot's Lease: node + 1; 0 if there is no Lease */
bool swapped;              /* both are held, the second one for longer */
byte slots[NODES];         /* how many there are, as each agent is configured */
byte broken;               /* the number of the promise that was found broken */

#define me         node[i]
#define held       ((holder[0] != 0) + (holder[1] != 0))
#define holds(i)   (holder[0] == i + 1 || holder[1] == i + 1)
#define later(i)   (held == 2 && holder[!swapped] == i + 1)                /* another one held a slot before it */
#define out(i)     (node[i].phase == Draining || node[i].phase == Rebooting || node[i].phase == Recovering || node[i].phase == Aborting)
#define usable     (me.trusted || MUTANT == TRUST_ALL)
#define open       (holds(i) && me.wanted)
#define draining   (me.phase == Draining && !me.changed)
#define rebooting  (me.phase == Rebooting && !me.changed && !me.issued)

inline promise(p, kept) { if :: !(kept) -> broken = p; assert(broken != p) :: else fi }
inline forget() { command = unknown; doubt = 1; drained = 0 }
inline remove(k) { node[holder[k] - 1].late = 0; holder[k] = 0; swapped = 0 }
/* A Lease that a person deletes after the live read is gone without the holder's knowing; no lock can help that. */
inline disrupt() { promise(2, holds(i) || me.checked); promise(1, me.limit == 2 || !later(i)); me.checked = 0 }

#define FAILS :: d_step { fault }; goto look :: d_step { fault }; goto dies

proctype agent(byte i) {
	mtype command = unknown;   /* what this process knows of the reboot command; a new one doubts */
	bool doubt = 1, drained;
	byte k;
look:
end:
	if
	:: d_step { fault }; goto dies
	:: me.goingDown -> goto down
	/* in service */
	:: me.phase == Idle && holds(i) && MUTANT != FORGET_SLOT -> goto free
	:: d_step { me.phase == Idle && (!holds(i) || MUTANT == FORGET_SLOT) && me.wanted -> me.phase = Required }
	:: d_step { me.phase == Required && !me.wanted -> me.phase = Idle }
	:: me.phase == Required && me.wanted && !holds(i) && (held < slots[i] || MUTANT == NO_WAIT) -> goto take
	:: me.phase == Required && open && usable -> goto check
	:: me.phase == Required && holds(i) && !usable -> goto free                                        /* it may be on its way */
	:: d_step { me.phase == Required && holds(i) && fault }; goto free                                 /* a gate */
	:: d_step { me.phase == Settling -> me.phase = Idle }
	/* out of service */
	:: d_step { me.changed -> me.phase = Recovering; me.changed = 0; me.attempts = 0; me.issued = 0; forget() }
	:: me.phase == Recovering || me.phase == Aborting && !me.changed -> goto back
	:: d_step { draining && !open -> me.phase = Aborting; forget() }
	:: d_step { draining && fault -> me.phase = Aborting; forget() }                                   /* a gate, the timeout */
	:: draining && open && !(drained && me.unschedulable) -> goto check
	:: d_step { draining && open && drained && me.unschedulable ->
		me.phase = Rebooting; me.attempts = 1; command = notStarted; doubt = 0; drained = 0 }
	:: d_step { rebooting && command == done -> me.issued = 1 }
	:: d_step { rebooting && command != done && !doubt && !open -> me.phase = Aborting; forget() }
	:: d_step { rebooting && command != done && !doubt && fault -> me.phase = Aborting; forget() }     /* a gate */
	:: d_step { rebooting && command == failed && !doubt && me.attempts == ATTEMPTS -> me.phase = Aborting; forget() }
	:: rebooting && open && (command == notStarted || command == failed && !doubt && !me.unschedulable) -> goto check
	:: d_step { rebooting && open && (command == failed || command == unknown) && (doubt || me.unschedulable) &&
		me.attempts < ATTEMPTS -> me.attempts++; command = notStarted }
	/* nothing but a reboot leads on: the command works after all, or a person does it */
	:: me.phase == Rebooting && !me.changed && me.issued -> goto down
	:: rebooting && doubt && command != done && (!open || command != notStarted && me.attempts == ATTEMPTS) -> goto down
	fi;
	goto look;

take:   /* list, create, list again */
	if :: d_step { held < slots[i] -> k = (holder[0] != 0) } :: held >= slots[i] -> goto look FAILS fi;
	if
	:: d_step { holder[k] == 0 -> holder[k] = i + 1; swapped = (k == 0 && holder[1] != 0); me.limit = MOST; me.trusted = 1; k = 0 }
	:: d_step { holder[k] != 0 -> k = 0 }    /* somebody was quicker */
	:: d_step { fault -> k = 0 }             /* an error; the list settles it */
	:: d_step { fault }; goto dies
	fi;
	if
	:: later(i) && slots[i] == 1 && MUTANT != NO_REREAD -> goto free
	:: d_step { !(later(i) && slots[i] == 1 && MUTANT != NO_REREAD) -> me.limit = slots[i] }; goto look
	FAILS
	fi;

free:   /* by the UID of the Lease that was looked at */
	atomic { me.trusted = 0; k = (holder[1] == i + 1) };
	if
	:: d_step { holder[k] == i + 1 || MUTANT == FREE_BY_NAME && holder[k] -> remove(k); k = 0 }; goto look
	:: d_step { holder[k] != i + 1 && !(MUTANT == FREE_BY_NAME && holder[k]) -> k = 0 }; goto look
#ifdef LATE
	:: d_step { holds(i) && fault -> me.late = 1; k = 0 }; goto look
#endif
	FAILS
	fi;

check:  /* the live read of the slot before each step that disrupts something */
	if
	:: d_step { holds(i) && MUTANT != NO_FENCE -> me.checked = 1 }
	:: !holds(i) && MUTANT != NO_FENCE -> goto look
	:: MUTANT == NO_FENCE
	FAILS
	fi;
	if :: true :: d_step { fault }; goto dies fi;
	if
	:: me.phase == Rebooting && command == notStarted && (doubt || me.unschedulable) -> goto reboot
	:: d_step { me.phase == Draining && me.unschedulable -> disrupt(); drained = 1 }; goto look
	:: else
	fi;
	if :: MUTANT == SPLIT_CORDON -> me.unschedulable = 1; if :: true :: d_step { fault }; goto dies fi :: else fi;
	d_step {   /* the cordon and the record, in one write */
		disrupt();
		if
		:: !me.unschedulable || MUTANT == SPLIT_CORDON || MUTANT == FORGET_PERSON -> me.cordon = ours
		:: me.unschedulable && me.cordon == none -> me.cordon = persons
		:: else
		fi;
		me.unschedulable = 1; me.phase = Draining; me.attempts = 0; me.changed = 0; forget()
	};
	goto look;

reboot: /* the record has announced it; the process may die while it runs */
	if
	:: d_step { disrupt(); me.goingDown = 1; command = done }; goto look
	:: d_step { fault -> disrupt(); me.goingDown = 1 }; goto dies
	:: d_step { fault -> disrupt(); command = done }; goto look        /* it exits 0, and nothing happens */
	:: d_step { fault -> disrupt(); command = failed }; goto look
	fi;

back:   /* the uncordon, if the cordon is ours, and the record, in one write */
	if :: d_step { MUTANT == FREE_FIRST && holds(i) -> k = (holder[1] == i + 1); remove(k); k = 0 } :: else fi;
	d_step {
		if :: me.cordon == ours -> promise(3, !me.person); me.unschedulable = 0 :: else fi;
		me.cordon = none; me.attempts = 0; me.issued = 0; me.robbed = 0;
		if :: me.phase == Recovering -> me.phase = Settling :: else -> me.phase = Required fi
	};
	goto look;

dies:   /* the process, or the machine */
	if :: goto down :: goto start fi;

down:   /* the machine reboots, for whatever cause */
	atomic { me.goingDown = 0; me.wanted = 0; me.changed = (out(i) && me.phase != Recovering) };

start:
	atomic {
		forget(); k = 0; me.checked = 0; me.trusted = 0;
		if :: MUTANT == NO_DOUBT -> command = notStarted; doubt = 0 :: else fi;
		if :: MUTANT == RESTART_IS_BOOT && out(i) -> me.phase = Recovering; me.changed = 0 :: else fi;
#ifdef CHANGE
		if :: slots[i] = 1 :: slots[i] = 2 fi;
#endif
		goto look
	}
}

/* People cordon, uncordon, change their mind, delete the Lease of a slot. None cordons what has our cordon: that can't be seen. */
proctype people(byte i) {
end:
	do
	:: d_step { !me.unschedulable && me.cordon != ours && act -> me.unschedulable = 1; me.person = 1 }
	:: d_step { me.unschedulable && act -> me.unschedulable = 0; me.person = 0 }
	:: d_step { me.wanted && act -> me.wanted = 0 }
	:: d_step { !me.wanted && act -> me.wanted = 1 }
	:: d_step { holder[0] == i + 1 && act -> me.robbed = (out(i) || me.checked); remove(0) }
	:: d_step { holder[1] == i + 1 && act -> me.robbed = (out(i) || me.checked); remove(1) }
	:: d_step { me.late && holds(i) -> if :: holder[0] == i + 1 -> remove(0) :: else -> remove(1) fi }
	od
}

#if NODES == 3
#define number(p) (p(0) + p(1) + p(2))
#else
#define number(p) (p(0) + p(1))
#endif
#define counts(i)  (out(i) && !node[i].robbed)
#define naked(i)   (counts(i) && !holds(i))                                  /* out without a slot */
#define wrong(i)   (!out(i) && node[i].unschedulable != node[i].person)      /* our cordon forgotten, or a person's taken off */
#define early(i)   (node[i].goingDown && node[i].phase != Rebooting)         /* given up with a reboot on its way */
#define settled(i) (node[i].phase == Idle && !node[i].wanted && !holds(i))   /* rebooted, in service, no slot */

/* Looks at every state. What nothing can follow must be the end of all reboots; that it comes to an end is spin's part (-DNP). */
active proctype judge() {
end:
	if
	:: atomic { number(counts) > MOST || number(naked) > 0 -> promise(1, false) }
	:: atomic { number(wrong) > 0 -> promise(3, false) }
	:: atomic { number(early) > 0 -> promise(4, false) }
	:: atomic { timeout -> promise(5, number(settled) == NODES) }
	fi
}

init {
	byte i;
	atomic {
		for (i : 0 .. NODES - 1) {
			me.limit = MOST;
			slots[i] = MOST;
#ifdef CHANGE
			if :: slots[i] = 1 :: slots[i] = 2 fi;
#endif
			run agent(i); run people(i)
		}
	}
}
